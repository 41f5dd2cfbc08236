package tree

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A Dir is an open directory of the home: after a rename of it, too, operations
// stay in it. It is safe for concurrent use until it is closed.
type Dir struct {
	root *Root
	fd   int // O_PATH: opening it takes no permission on the directory itself
	path string
}

// Path is where the directory was when it was opened, "" for the home itself.
func (d *Dir) Path() string { return d.path }

// Close closes the directory.
func (d *Dir) Close() error {
	if d == d.root.dir {
		return nil // the Root's own, closed with it
	}
	return unix.Close(d.fd)
}

// Stat is Info of the directory itself.
func (d *Dir) Stat() (Info, error) { return Fstat(uintptr(d.fd)) }

// OpenDir opens a directory in this one.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	if err := checkName("open", d.path, name); err != nil {
		return nil, err
	}
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, pathError("open", Join(d.path, name), err)
	}
	if err := d.root.onHome(fd); err != nil {
		unix.Close(fd)
		return nil, pathError("open", Join(d.path, name), err)
	}
	return &Dir{root: d.root, fd: fd, path: Join(d.path, name)}, nil
}

// Lstat reads an entry's attributes, a symbolic link's own if it is one.
func (d *Dir) Lstat(name string) (Info, error) {
	if err := checkName("lstat", d.path, name); err != nil {
		return Info{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, pathError("lstat", Join(d.path, name), err)
	}
	return info(&st), nil
}

// StillAt is ErrChanged unless the path by which the directory was opened, and name in it, lead
// to the file that i describes at this moment. A descriptor follows what it was opened for through
// renames, of a directory above too: what is read through it need never have been at the path.
func (d *Dir) StillAt(name string, i Info) error {
	now, err := d.root.Lstat(Join(d.path, name))
	if err == nil && now.Ino == i.Ino && now.Dev == i.Dev {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || IsNotDir(err) {
		err = ErrChanged
	}
	return pathError("find again", Join(d.path, name), err)
}

// Readlink reads the target of a symbolic link.
func (d *Dir) Readlink(name string) (string, error) {
	if err := checkName("readlink", d.path, name); err != nil {
		return "", err
	}
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(d.fd, name, buf)
		if err != nil {
			return "", pathError("readlink", Join(d.path, name), err)
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// Open opens a regular file for reading. O_NONBLOCK: what was a file a moment ago
// may be a FIFO now, whose open would wait for a writer forever.
func (d *Dir) Open(name string) (*os.File, error) {
	if err := checkName("open", d.path, name); err != nil {
		return nil, err
	}
	path := Join(d.path, name)
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	i, err := Fstat(uintptr(fd))
	if err == nil && !i.IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err == nil {
		err = pathError("open", path, d.root.onHome(fd))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Mkdir makes a directory, the agent's, with the permissions that a directory has of
// which S3 says nothing. It is fs.ErrExist when the name is taken.
func (d *Dir) Mkdir(name string) error {
	if err := checkName("mkdir", d.path, name); err != nil {
		return err
	}
	if err := unix.Mkdirat(d.fd, name, 0o755); err != nil {
		return pathError("mkdir", Join(d.path, name), err)
	}
	return d.own(name)
}

// own gives an entry to the agent.
func (d *Dir) own(name string) error {
	o := d.root.owner
	if o == nil {
		return nil
	}
	return pathError("chown", Join(d.path, name), unix.Fchownat(d.fd, name, o.uid, o.gid, unix.AT_SYMLINK_NOFOLLOW))
}

// Own gives an entry to the agent, when it is not its already.
func (d *Dir) Own(name string) error {
	i, err := d.Lstat(name)
	if err != nil || d.root.owner == nil || int(i.UID) == d.root.owner.uid && int(i.GID) == d.root.owner.gid {
		return err
	}
	return d.own(name)
}

// Remove unlinks an entry that is not a directory.
func (d *Dir) Remove(name string) error {
	if err := checkName("unlink", d.path, name); err != nil {
		return err
	}
	return pathError("unlink", Join(d.path, name), unix.Unlinkat(d.fd, name, 0))
}

// Rmdir removes an empty directory; one that is not empty is syscall.ENOTEMPTY.
func (d *Dir) Rmdir(name string) error {
	if err := checkName("rmdir", d.path, name); err != nil {
		return err
	}
	return pathError("rmdir", Join(d.path, name), unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR))
}
