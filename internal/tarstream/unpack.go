package tarstream

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// UnpackOptions say how.
type UnpackOptions struct {
	// Into takes an archive of any names, and puts them into a directory that is there.
	Into     bool
	Progress *Progress
	Note     Note
}

// Unpack reads a stream and puts what is in it at dst, as cp(1) has it: into dst when that is
// a directory, else as dst. The parent must be there. What was unpacked before an error stays.
func Unpack(r io.Reader, dst string, o UnpackOptions) error {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	u := &unpacker{UnpackOptions: o, stream: newStream(r, o.Into)}
	defer u.close()
	if o.Into {
		root, err := openDir(dst)
		if err != nil {
			return fmt.Errorf("cannot unpack into %q: %w", dst, reason(err))
		}
		u.frames, u.floor = []frame{{root: root}}, 1
	}
	for {
		h, name, err := u.stream.next()
		if errors.Is(err, io.EOF) {
			if len(u.frames) == 0 {
				return ErrCut // there is always a first entry
			}
			return u.leave(1)
		}
		if err != nil {
			return err
		}
		switch {
		case len(u.frames) == 0:
			if err := u.place(dst, h); err != nil {
				return fmt.Errorf("cannot copy %q to %q: %w", u.stream.top, dst, reason(err))
			}
			if u.single == "" {
				o.Progress.Files.Add(1)
				continue
			}
			name = u.single
		case name == "." && h.Typeflag == tar.TypeDir:
			continue // what is named on the command line keeps its own attributes
		case name == ".":
			return fmt.Errorf("the archive has %q twice", h.Name)
		}
		if err := u.entry(h, name); err != nil {
			return fmt.Errorf("cannot write %q: %w", h.Name, reason(err))
		}
	}
}

type unpacker struct {
	UnpackOptions
	stream *stream
	frames []frame // the directory that is being filled, and those above it
	floor  int     // so many of them lead to the top
	single string  // the name of a top that is no directory
	temps  temps
	buffer buffer
}

func openDir(dst string) (*os.Root, error) {
	if dst == "" {
		return nil, fs.ErrNotExist
	}
	return os.OpenRoot(dst)
}

func (u *unpacker) close() {
	for _, f := range u.frames {
		f.root.Close()
	}
}

// place finds out where the first entry goes. The copying side names the destination, so
// links in it count; from there on none does.
func (u *unpacker) place(dst string, h *tar.Header) error {
	if dst == "" {
		return errors.New("the destination is empty")
	}
	mustBeDir := strings.HasSuffix(dst, "/") || contents(dst)
	resolved, err := filepath.EvalSymlinks(dst)
	exists := err == nil
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if resolved, err = filepath.Abs(dst); err != nil {
			return err
		}
		if _, err := os.Lstat(resolved); err == nil {
			return errors.New("it is a link that leads nowhere")
		}
	}
	toDir := false
	if exists {
		info, err := os.Stat(resolved)
		if err != nil {
			return err
		}
		toDir = info.IsDir()
	}
	within, name := filepath.Dir(resolved), filepath.Base(resolved)
	switch {
	case toDir:
		within, name = resolved, u.stream.top
	case exists && h.Typeflag == tar.TypeDir:
		return syscall.ENOTDIR
	case mustBeDir && h.Typeflag != tar.TypeDir:
		return errors.New("there is no such directory")
	}
	root, err := os.OpenRoot(within)
	if err != nil {
		return err
	}
	u.frames, u.floor = []frame{{root: root}}, 1
	switch {
	case h.Typeflag != tar.TypeDir:
		u.single, u.stream.one = name, true
	case name != ".":
		u.floor = 2
		return u.push(name, h)
	}
	return nil
}

// entry puts one entry into its directory.
func (u *unpacker) entry(h *tar.Header, name string) error {
	dir, base := filepath.Split(name)
	if err := u.goTo(dir); err != nil {
		return err
	}
	in := &u.frames[len(u.frames)-1]
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.push(base, h); err != nil {
			return err
		}
	case tar.TypeReg:
		if err := u.file(in, base, h); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := u.symlink(in, base, h); err != nil {
			return err
		}
	case tar.TypeLink:
		if err := u.link(in, name, base, h); err != nil {
			return err
		}
	default:
		if u.Note != nil {
			u.Note(h.Name, "it is neither a file, a directory nor a link")
		}
		return nil
	}
	u.Progress.Files.Add(1)
	return nil
}

var errSpecial = errors.New("the destination is neither a file nor a link")

// replaceable says whether what is at a name may be replaced by a file or a link.
func replaceable(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink:
		return errSpecial // above all not /dev/null
	}
	return nil
}
