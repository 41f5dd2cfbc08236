package client

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

func (c command) get(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "one JSON object a line")
	key := flags.Bool("key", false, "PATH is a key, of an object that need not be a file")
	rest, err := c.parse(flags, args, 1, 2)
	if err != nil {
		return err
	}
	if *key {
		return c.getKey(ctx, rest, *asJSON)
	}
	from := c.below(rest[0])
	to := path.Base(from)
	if len(rest) == 2 {
		if to = rest[1]; strings.HasSuffix(to, "/") && from != "" {
			to = filepath.Join(to, path.Base(from))
		}
	} else if from == "" {
		to = "."
	}
	if to == "-" {
		if *asJSON {
			return fmt.Errorf("%w: standard output is the file's", errUsage)
		}
		return c.cat(ctx, from)
	}
	var all []contract.ColdEntry
	isDir := true
	err = c.client.Tree(ctx, from, func(e contract.ColdEntry) error {
		isDir = isDir && bytesOf(e) != from
		all = append(all, e)
		return nil
	})
	if err != nil {
		return err
	}
	g := &getting{c: c, r: c.report("fetched", *asJSON), crew: newCrew()}
	if !isDir {
		g.r.quiet = true
		if info, err := os.Stat(to); err == nil && info.IsDir() {
			to = filepath.Join(to, path.Base(from))
		}
		all[0].Mtime = time.Time{} // a file that is asked for by its name is fetched
	} else {
		g.below = from
	}
	g.all(ctx, all, to, isDir)
	return g.r.end()
}

// cat writes a file to standard output.
func (c command) cat(ctx context.Context, from string) error {
	body, e, err := c.client.Get(ctx, from)
	if err != nil {
		return err
	}
	defer body.Close()
	r := c.report("fetched", false)
	r.quiet = true
	r.expect(e.Size)
	return errors.Join(r.copy(c.stdout, body, e.Size), r.end())
}

// getKey fetches an object by its key. It has no name that could be a file's, so that is asked for.
func (c command) getKey(ctx context.Context, rest []string, asJSON bool) error {
	if len(rest) != 2 || asJSON {
		return fmt.Errorf("%w: --key wants a FILE and no --json", errUsage)
	}
	body, size, err := c.client.GetKey(ctx, rest[0])
	if err != nil {
		return err
	}
	defer body.Close()
	r := c.report("fetched", false)
	r.quiet = true
	r.expect(size)
	if rest[1] == "-" {
		return errors.Join(r.copy(c.stdout, body, size), r.end())
	}
	f, err := os.CreateTemp(filepath.Dir(rest[1]), ".sandbox-get-*")
	if err != nil {
		return errors.Join(fmt.Errorf("cannot get: %w", err), r.end())
	}
	err = errors.Join(r.copy(f, body, size), f.Chmod(0o644), f.Close(), r.end())
	if err == nil {
		err = os.Rename(f.Name(), rest[1])
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot get the key %q: %w", rest[0], err)
	}
	return nil
}

// getting is one `get`. It writes below one directory and nowhere else, not even through the links in it.
type getting struct {
	c     command
	r     *report
	crew  *crew
	root  *os.Root
	below string   // the directory that is fetched
	shut  []string // directories that could not be made, each with a "/"
}

// all fetches what was listed to a path: a directory's entries into it, a file as it.
func (g *getting) all(ctx context.Context, entries []contract.ColdEntry, to string, isDir bool) {
	dir := to
	if !isDir {
		dir = filepath.Dir(to)
	}
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		g.root, err = os.OpenRoot(dir)
	}
	if err != nil {
		g.r.did("", to, 0, fmt.Errorf("cannot get: %w", err))
		return
	}
	defer g.root.Close()
	var dirs []contract.ColdEntry
	for _, e := range entries {
		if ctx.Err() != nil {
			g.r.did("", to, 0, context.Cause(ctx))
			break
		}
		name := filepath.Base(to)
		if isDir {
			name = strings.TrimPrefix(strings.TrimPrefix(bytesOf(e), g.below), "/")
		}
		switch {
		case g.isShut(name):
			g.r.did("", name, 0, fmt.Errorf("cannot get %q: its directory could not be made", name))
		case e.Kind == "dir":
			if err := g.mkdir(name); err != nil {
				g.shut = append(g.shut, name+"/")
				g.r.did("", name, 0, fmt.Errorf("cannot make the directory %q: %w", name, err))
			} else {
				dirs = append(dirs, e)
			}
		default:
			g.r.expect(e.Size)
			g.crew.do(func() { g.entry(ctx, name, e) })
		}
	}
	g.crew.wait()
	// Their modes at last, and from below: one may be closed to us.
	for i := len(dirs) - 1; i >= 0; i-- {
		name := strings.TrimPrefix(strings.TrimPrefix(bytesOf(dirs[i]), g.below), "/")
		if err := g.root.Chmod(name, modeOf(dirs[i], 0o755)); err != nil {
			g.r.did("", name, 0, fmt.Errorf("cannot set the mode of %q: %w", name, err))
		}
	}
}

func (g *getting) isShut(name string) bool {
	for _, d := range g.shut {
		if strings.HasPrefix(name, d) {
			return true
		}
	}
	return false
}

// mkdir makes a directory that may be there. A link to one is not: what is fetched into it
// would be elsewhere.
func (g *getting) mkdir(name string) error {
	err := g.root.Mkdir(name, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := g.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = errors.New("something else has its name")
	}
	if err == nil && info.Mode().Perm()&0o700 != 0o700 { // its mode comes at last
		err = g.root.Chmod(name, info.Mode().Perm()|0o700)
	}
	return err
}

func modeOf(e contract.ColdEntry, otherwise fs.FileMode) fs.FileMode {
	if mode, err := strconv.ParseUint(e.Mode, 8, 12); err == nil {
		return fs.FileMode(mode) & 0o777
	}
	return otherwise
}

// entry fetches a file or a link, unless it is there already.
func (g *getting) entry(ctx context.Context, name string, e contract.ColdEntry) {
	action := "fetched"
	err := func() error {
		if e.Kind == "symlink" {
			return g.link(name, e, &action)
		}
		if have, err := g.root.Lstat(name); err == nil && have.Mode().IsRegular() && have.Size() == e.Size && have.ModTime().Equal(e.Mtime) {
			action = "unchanged"
			if mode := modeOf(e, 0o644); have.Mode().Perm() != mode {
				return g.root.Chmod(name, mode)
			}
			return nil
		}
		err := g.fetch(ctx, name, e)
		if err == nil {
			return nil
		}
		// What a listing calls a small file may turn out to be a link when it is opened.
		link := false
		if lerr := g.c.client.List(ctx, bytesOf(e), false, func(now contract.ColdEntry) error {
			link, e = now.Kind == "symlink", now
			return nil
		}); lerr == nil && link {
			return g.link(name, e, &action)
		}
		return err
	}()
	if err != nil {
		err = fmt.Errorf("cannot get %q: %w", bytesOf(e), err)
	}
	g.r.did(action, name, e.Size, err)
}

// link makes a symbolic link, in place of what is no directory.
func (g *getting) link(name string, e contract.ColdEntry, action *string) error {
	target := targetOf(e)
	if have, err := g.root.Readlink(name); err == nil && have == target {
		*action = "unchanged"
		return nil
	}
	temp := g.temp(name)
	if err := g.root.Symlink(target, temp); err != nil {
		return err
	}
	return g.rename(temp, name)
}

// temp is a name beside another, for what is not whole yet.
func (g *getting) temp(name string) string {
	return path.Join(path.Dir(name), ".sandbox-get-"+rand.Text())
}

func (g *getting) rename(temp, name string) error {
	err := g.root.Rename(temp, name)
	if err != nil {
		_ = g.root.Remove(temp)
	}
	return err
}

// fetch fetches a file: under another name first, so that it is whole or what it was before.
func (g *getting) fetch(ctx context.Context, name string, e contract.ColdEntry) error {
	body, e, err := g.c.client.Get(ctx, bytesOf(e))
	if err != nil {
		return err
	}
	defer body.Close()
	temp := g.temp(name)
	f, err := g.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(g.r.copy(f, body, e.Size), f.Chmod(modeOf(e, 0o644)), f.Close())
	if err == nil {
		err = g.root.Chtimes(temp, time.Time{}, e.Mtime)
	}
	if err != nil {
		_ = g.root.Remove(temp)
		return err
	}
	return g.rename(temp, name)
}
