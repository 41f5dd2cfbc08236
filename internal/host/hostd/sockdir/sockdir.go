// Package sockdir serves and dials unix sockets by directory and name.
//
// A socket's path has at most 107 bytes (sun_path, unix(7)), and the directories here
// are the operator's to name. So a directory is opened once and its sockets are
// reached through /proc/self/fd/N/NAME, which is short, and which stays the same
// directory when something above it is renamed.
package sockdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// errNotSocket says that the name belongs to something else, a symbolic link included.
var errNotSocket = errors.New("not a socket")

// Dir is an open directory of sockets.
type Dir struct {
	f *os.File
}

// Open opens the directory at path; it must exist.
func Open(path string) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{os.NewFile(uintptr(fd), path)}, nil
}

// Close closes the directory. Listeners made of it must be closed before: until then
// their sockets are named through it.
func (d *Dir) Close() error { return d.f.Close() }

// Address is a path of the socket that is valid in this process while the directory is open.
func (d *Dir) Address(name string) string {
	return descriptor(d.f) + "/" + name
}

// Listen listens on a socket with the given permissions. A socket that is there, a dead
// server's, is replaced by rename: a client that connects meanwhile is refused or served,
// but never finds the name missing. Closing the listener removes the socket.
func (d *Dir) Listen(name string, mode fs.FileMode) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, fmt.Errorf("cannot listen on %s/%s: %w", d.f.Name(), name, err)
	}
	fresh := "." + name + ".new"
	if err := d.Remove(fresh); err != nil {
		return fail(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.Address(fresh), Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false) // it would remove the name it was made with
	// By the first name, before any client knows it.
	if err := d.chmod(fresh, mode); err != nil {
		l.Close()
		return fail(err)
	}
	fd := int(d.f.Fd())
	if err := unix.Renameat(fd, fresh, fd, name); err != nil {
		l.Close()
		return fail(err)
	}
	return &listener{Listener: l, dir: d, name: name}, nil
}

// Remove removes a name; one that is not there is no error.
func (d *Dir) Remove(name string) error {
	if err := unix.Unlinkat(int(d.f.Fd()), name, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: d.f.Name() + "/" + name, Err: err}
	}
	return nil
}

// Dial connects to a socket of the directory and to nothing else: a container may have
// written there, so a symbolic link is not followed.
func (d *Dir) Dial(ctx context.Context, name string) (net.Conn, error) {
	f, err := d.socket(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return new(net.Dialer).DialContext(ctx, "unix", descriptor(f))
}

// chmod sets the permissions of a socket. A container may have put something else in its place, and the process
// that follows a link here is the operator's.
func (d *Dir) chmod(name string, mode fs.FileMode) error {
	f, err := d.socket(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.Chmod(descriptor(f), mode)
}

// socket opens what has the name, without a use of it, when that is a socket.
func (d *Dir) socket(name string) (*os.File, error) {
	path := d.f.Name() + "/" + name
	fd, err := unix.Openat(int(d.f.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: errNotSocket}
	}
	return f, nil
}

// descriptor is a path of an open file that leads nowhere else.
func descriptor(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

type listener struct {
	net.Listener
	dir  *Dir
	name string
	once sync.Once
	err  error
}

func (l *listener) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.dir.Remove(l.name), l.Listener.Close()) })
	return l.err
}
