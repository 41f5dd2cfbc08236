package tarstream

import (
	"archive/tar"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// temps gives temporary names. They have the form that the hot path leaves out of S3 and
// removes when a sandbox starts, so that a part of a file never gets a name.
type temps struct{ token, count uint32 }

func (t *temps) next() string {
	if t.token == 0 {
		var b [4]byte
		rand.Read(b[:]) // never fails
		t.token = binary.LittleEndian.Uint32(b[:]) | 1
	}
	t.count++
	return fmt.Sprintf(".sandbox-hydrate-%08x%08x.tmp", t.token, t.count)
}

// under makes something under a temporary name, and then gives it its own.
func (u *unpacker) under(in *frame, name string, create func(temp string) error) error {
	if err := replaceable(in.root, name); err != nil {
		return err
	}
	temp := u.temps.next()
	err := create(temp)
	if err == nil {
		err = in.root.Rename(temp, name)
	}
	// Also when all went well: a rename onto another name of the same file does nothing
	// (rename(2)).
	if rerr := in.root.Remove(temp); err == nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = rerr
	}
	return err
}

func (u *unpacker) file(in *frame, name string, h *tar.Header) error {
	return u.under(in, name, func(temp string) error {
		f, err := in.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		content := &holes{f: f}
		_, err = u.buffer.copy(counted{content, u.Progress}, u.stream.tar)
		if err == nil {
			err = content.close()
		}
		if err == nil {
			err = f.Chmod(fs.FileMode(h.Mode))
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = in.root.Chtimes(temp, h.ModTime, h.ModTime)
		}
		return cut(err)
	})
}

func (u *unpacker) symlink(in *frame, name string, h *tar.Header) error {
	return u.under(in, name, func(temp string) error {
		if err := in.root.Symlink(h.Linkname, temp); err != nil {
			return err
		}
		dir, err := in.root.Open(".")
		if err != nil {
			return err
		}
		defer dir.Close()
		at, err := unix.TimeToTimespec(h.ModTime)
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(int(dir.Fd()), temp, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// link makes another name of a file that is in the tree already. It is resolved from the top,
// and within it: symbolic links of the archive on the way do not lead out of it.
func (u *unpacker) link(in *frame, name, base string, h *tar.Header) error {
	if u.single != "" {
		return fmt.Errorf("it is another name of %q, which is not in the archive", h.Linkname)
	}
	top := u.frames[u.floor-1].root
	info, err := top.Lstat(h.Linkname)
	if err != nil {
		return fmt.Errorf("it is another name of %q: %w", h.Linkname, reason(err))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is another name of %q, which is no file", h.Linkname)
	}
	dir := name[:len(name)-len(base)]
	err = u.under(in, base, func(temp string) error { return top.Link(h.Linkname, dir+temp) })
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("it is another name of %q, which is on another file system", h.Linkname)
	}
	return err
}
