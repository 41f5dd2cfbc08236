package tree

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// A Root is an open home. It is safe for concurrent use.
type Root struct {
	name  string
	root  *os.Root // keeps the home open and is what the walk starts from
	file  *os.File
	dir   *Dir // the home itself
	owner *owner
	mount uint64        // of the home, see mountOf
	token uint32        // tells this Root's temporary names from those of others
	temps atomic.Uint32 // how many temporary names were given out
}

type owner struct{ uid, gid int }

// Identity tells one directory from another that took its name. Btime is 0 where the
// file system records no birth times.
type Identity struct {
	Dev, Ino uint64
	Btime    int64 // ns since the epoch
}

// Open opens the home at an absolute path of the host's choosing: this one path may
// lead through symbolic links, as every path that an operator configures may.
func Open(path string) (*Root, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the home: %w", err)
	}
	file, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("cannot open the home: %w", err)
	}
	var token [4]byte
	rand.Read(token[:])
	r := &Root{name: path, root: root, file: file, token: binary.LittleEndian.Uint32(token[:])}
	r.dir = &Dir{root: r, fd: int(file.Fd())}
	if r.mount, err = mountOf(r.dir.fd); err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot open the home: %w", err)
	}
	if os.Geteuid() == 0 {
		r.owner = &owner{contract.AgentUID, contract.AgentGID}
	}
	return r, nil
}

// Close closes the home. Directories and files opened from it stay usable.
func (r *Root) Close() error {
	err := r.file.Close()
	if e := r.root.Close(); err == nil {
		err = e
	}
	return err
}

// Name is the path that was given to Open, for messages.
func (r *Root) Name() string { return r.name }

// Identity reads the identity of the directory that is open, which outlives its name.
func (r *Root) Identity() (Identity, error) { return identity(r.dir.fd, "", unix.AT_EMPTY_PATH) }

// Replaced says whether the configured path now leads elsewhere than to the directory that is open:
// the home was unmounted, moved or made anew.
func (r *Root) Replaced() (bool, error) {
	open, err := r.Identity()
	if err != nil {
		return false, err
	}
	named, err := identity(unix.AT_FDCWD, r.name, 0)
	if err != nil {
		return true, err
	}
	return open != named, nil
}

func identity(fd int, path string, flags int) (Identity, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, path, flags, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return Identity{}, pathError("statx", path, err)
	}
	id := Identity{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Btime = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, nil
}

// Space is what an unprivileged user may still store on a file system.
type Space struct {
	Bytes     int64
	Files     int64 // inodes; -1 where the file system makes them as it goes (btrfs)
	BlockSize int64
}

// Space asks the file system of the home.
func (r *Root) Space() (Space, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.dir.fd, &st); err != nil {
		return Space{}, pathError("statfs", r.name, err)
	}
	s := Space{Bytes: int64(st.Bavail) * st.Frsize, Files: -1, BlockSize: st.Bsize}
	if st.Files > 0 {
		s.Files = int64(st.Ffree)
	}
	return s, nil
}

// FileSystem tells the home's file system from others, also when it is mounted again: by
// what the file system calls itself (statfs(2), f_fsid), which for ext4 is made of its UUID. The
// number of its device is another one when an image gets another loop device, or a disk
// another place in the machine. It is what there is where the file system has no name.
func (r *Root) FileSystem() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.dir.fd, &st); err != nil {
		return 0, pathError("statfs", r.name, err)
	}
	if name := uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32; name != 0 {
		return name, nil
	}
	id, err := r.Identity()
	return id.Dev, err
}

// OpenDir opens a directory, "" for the home itself. Close it after use.
func (r *Root) OpenDir(path string) (*Dir, error) {
	if path == "" {
		fd, err := openat(r.dir.fd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, pathError("open", r.name, err)
		}
		return &Dir{root: r, fd: fd}, nil
	}
	if err := check(path); err != nil {
		return nil, err
	}
	fd := r.dir.fd
	rest := path
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		next, err := openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if fd != r.dir.fd {
			unix.Close(fd)
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		fd = next
	}
	if err := r.onHome(fd); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{root: r, fd: fd, path: path}, nil
}

// in opens the directory that holds path and runs f on it.
func (r *Root) in(path string, f func(d *Dir, name string) error) error {
	parent, name := Split(path)
	if parent == "" {
		return f(r.dir, name)
	}
	d, err := r.OpenDir(parent)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			pe.Path = path
		}
		return err
	}
	defer d.Close()
	return f(d, name)
}

// openat is openat(2), again when a signal came between (slow file systems do that).
func openat(fd int, name string, flags int, perm uint32) (int, error) {
	for {
		got, err := unix.Openat(fd, name, flags|unix.O_CLOEXEC, perm)
		if err != unix.EINTR {
			return got, err
		}
	}
}
