package tarstream

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// frame is an open directory on the way to what is being written. Each is opened through the one
// above it, by one name that was seen to be a directory: no path is ever resolved
// through what an archive has made.
type frame struct {
	root *os.Root
	name string // in the frame above

	// What it gets when it has been filled: what is written into it would change its time,
	// and may not be allowed under its mode.
	set   bool
	mode  fs.FileMode
	mtime time.Time
}

// maxDepth bounds the open directories. Paths of Linux have at most 4,096 bytes.
const maxDepth = 2048

var errDeep = errors.New("it lies too deep")

// goTo makes dir, which is relative to the top and ends in a slash or is empty, the last frame.
func (u *unpacker) goTo(dir string) error {
	at := u.floor
	for dir != "" {
		name, rest, _ := strings.Cut(dir, "/")
		if at < len(u.frames) && u.frames[at].name == name {
			at, dir = at+1, rest
			continue
		}
		break
	}
	if err := u.leave(at); err != nil {
		return err
	}
	for dir != "" {
		name, rest, _ := strings.Cut(dir, "/")
		if err := u.push(name, nil); err != nil {
			return err
		}
		dir = rest
	}
	return nil
}

// push enters a directory of the last frame, and makes it if it is not there. Without h
// it is one that the archive does not describe.
func (u *unpacker) push(name string, h *tar.Header) error {
	if len(u.frames) >= maxDepth {
		return errDeep
	}
	in := u.frames[len(u.frames)-1].root
	mode := fs.FileMode(0o755)
	if h != nil {
		mode = 0o700 // until it has been filled
	}
	info, err := in.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = in.Mkdir(name, mode)
	case err == nil && !info.IsDir():
		err = syscall.ENOTDIR // a link to one as well
	}
	if err != nil {
		return err
	}
	root, err := in.OpenRoot(name)
	if err != nil {
		return err
	}
	f := frame{root: root, name: name}
	if h != nil {
		f.set, f.mode, f.mtime = true, fs.FileMode(h.Mode), h.ModTime
	}
	u.frames = append(u.frames, f)
	return nil
}

// leave closes all frames but n, the deepest first, and gives them their attributes.
func (u *unpacker) leave(n int) error {
	for len(u.frames) > n {
		last := len(u.frames) - 1
		f := u.frames[last]
		f.root.Close()
		u.frames = u.frames[:last]
		if !f.set {
			continue
		}
		in := u.frames[last-1].root
		if err := errors.Join(in.Chmod(f.name, f.mode), in.Chtimes(f.name, f.mtime, f.mtime)); err != nil {
			return err
		}
	}
	return nil
}
