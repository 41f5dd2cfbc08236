package client

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func (c command) put(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("put", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "one JSON object a line")
	rest, err := c.parse(flags, args, 1, 2)
	if err != nil {
		return err
	}
	from := rest[0]
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("cannot put: %w", err)
	}
	// The name of ".", too.
	whole, err := filepath.Abs(from)
	if err != nil {
		return fmt.Errorf("cannot put: %w", err)
	}
	to := filepath.Base(whole)
	if len(rest) == 2 {
		if to = c.below(rest[1]); strings.HasSuffix(rest[1], "/") || to == "" && !info.IsDir() {
			to = path.Join(to, filepath.Base(whole))
		}
	}
	p := &putting{c: c, r: c.report("stored", *asJSON), crew: newCrew()}
	switch {
	case info.IsDir():
		p.tree(ctx, from, to)
	case info.Mode().IsRegular():
		p.r.quiet = true
		p.r.expect(info.Size())
		p.file(ctx, from, to)
	default:
		p.r.quiet = true
		p.r.did("", from, 0, fmt.Errorf("cannot put %s: it is no file or directory", from))
	}
	return p.r.end()
}

// putting is one `put`.
type putting struct {
	c    command
	r    *report
	crew *crew
	have map[string]contract.ColdEntry // what is there already
}

// tree stores a directory and all that is in it.
func (p *putting) tree(ctx context.Context, from, to string) {
	fail := func(err error) { p.r.did("", from, 0, err) }
	p.have = map[string]contract.ColdEntry{}
	err := p.c.client.Tree(ctx, to, func(e contract.ColdEntry) error {
		p.have[bytesOf(e)] = e
		return nil
	})
	if err != nil && !notThere(err) {
		fail(err)
		return
	}
	err = filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, rerr := filepath.Rel(from, at)
		if rerr != nil {
			return rerr
		}
		dest := strings.TrimPrefix(path.Join(to, filepath.ToSlash(rel)), "/")
		if dest == "." {
			dest = ""
		}
		p.entry(ctx, at, dest, d, err)
		return nil
	})
	p.crew.wait()
	if err != nil {
		fail(err)
		return
	}
	// Directories were only kept so far, and something that an earlier call left may be pending.
	err = p.c.client.Sync(ctx, to, func(s contract.ColdProgress) {
		for _, u := range s.Unsaved {
			p.r.did("", u.Path, 0, &refusedError{502, fmt.Sprintf("%s is kept and not in S3 yet: %s", u.Path, u.Reason)})
		}
	})
	if err != nil {
		fail(err)
	}
}

// entry stores one thing of a tree, unless it is there already.
func (p *putting) entry(ctx context.Context, from, to string, d fs.DirEntry, err error) {
	var info fs.FileInfo
	if err == nil {
		info, err = d.Info()
	}
	if err != nil {
		p.r.did("", to, 0, fmt.Errorf("cannot put: %w", err))
		return
	}
	have, there := p.have[to]
	mode := strconv.FormatUint(uint64(info.Mode().Perm()), 8)
	sameMode := strings.TrimLeft(have.Mode, "0") == strings.TrimLeft(mode, "0")
	switch info.Mode().Type() {
	case fs.ModeDir:
		if to == "" || there && have.Kind == "dir" && sameMode {
			return
		}
		if _, err := p.c.client.Mkdir(ctx, to, uint32(info.Mode().Perm())); err != nil {
			p.r.did("", to, 0, err)
		}
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err == nil && there && have.Kind == "symlink" && targetOf(have) == target {
			p.r.did("unchanged", to, 0, nil)
			return
		}
		p.r.expect(0)
		p.crew.do(func() {
			if err == nil {
				_, err = p.c.client.Symlink(ctx, to, target, info.ModTime().UnixNano())
			}
			p.r.did("stored", to, 0, err)
		})
	case 0:
		p.r.expect(info.Size())
		if there && have.Kind == "file" && have.Size == info.Size() && have.Mtime.Equal(info.ModTime()) && sameMode {
			p.r.did("unchanged", to, info.Size(), nil)
			return
		}
		p.crew.do(func() { p.file(ctx, from, to) })
	default:
		p.r.did("skipped", from, 0, nil)
	}
}

// file stores one file.
func (p *putting) file(ctx context.Context, from, to string) {
	size, err := p.send(ctx, from, to)
	p.r.did("stored", to, size, err)
}

func (p *putting) send(ctx context.Context, from, to string) (int64, error) {
	// O_NONBLOCK: a FIFO that took the file's place must not stop us.
	f, err := os.OpenFile(from, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot put: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot put: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("cannot put %s: it is no regular file any more", from)
	}
	var body io.Reader = io.TeeReader(f, p.r)
	if info.Size() == 0 {
		body = nil
	}
	if _, err = p.c.client.Put(ctx, to, body, info.Size(), uint32(info.Mode().Perm()), info.ModTime().UnixNano()); err != nil {
		return 0, err
	}
	after, err := f.Stat()
	if err == nil && (after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime())) {
		err = errors.New("it was changed while it was read, and the stored object is torn; put it again")
	}
	if err != nil {
		return 0, fmt.Errorf("cannot put %s: %w", from, err)
	}
	return info.Size(), nil
}
