package tree

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attr is what S3 says of a file besides its content. Mode's type bits are ignored,
// and so are its setuid and setgid bits.
type Attr struct {
	Mode  uint32
	Mtime int64 // ns since the epoch
}

// perm are the bits that are kept: permissions, and the sticky bit of directories.
func (a Attr) perm() uint32 { return a.Mode & 0o1777 }

// times are utimensat(2)'s: atime stays as it is.
func (a Attr) times() [2]unix.Timespec {
	return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(a.Mtime)}
}

// SetAttr gives an entry its mode and mtime and makes it the agent's. A symbolic link
// has no mode of its own. The order matters: chown(2) clears bits of the mode, and
// both move ctime alone, so that mtime can come last.
func (d *Dir) SetAttr(name string, a Attr) error {
	if err := checkName("chmod", d.path, name); err != nil {
		return err
	}
	if err := d.own(name); err != nil {
		return err
	}
	i, err := d.Lstat(name)
	if err != nil {
		return err
	}
	if !i.IsSymlink() && i.Mode&0o7777 != a.perm() {
		if err := d.chmod(name, a.perm()); err != nil {
			return pathError("chmod", Join(d.path, name), err)
		}
	}
	return d.setTimes(name, a)
}

func (d *Dir) setTimes(name string, a Attr) error {
	ts := a.times()
	return pathError("utimensat", Join(d.path, name), unix.UtimesNanoAt(d.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW))
}

// Chmod sets the permissions of a file or a directory. It takes no permission on the
// file, only its ownership.
func (d *Dir) Chmod(name string, perm uint32) error {
	if err := checkName("chmod", d.path, name); err != nil {
		return err
	}
	return pathError("chmod", Join(d.path, name), d.chmod(name, perm&0o1777))
}

// chmod never follows a link: fchmodat2(2), and where the kernel (before 6.6) or its
// seccomp filter does not have it, a descriptor's name in /proc.
func (d *Dir) chmod(name string, perm uint32) error {
	err := unix.Fchmodat(d.fd, name, perm, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP && err != unix.EPERM && err != unix.ENOSYS {
		return err
	}
	return d.chmodByDescriptor(name, perm)
}

func (d *Dir) chmodByDescriptor(name string, perm uint32) error {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), perm)
}

// futimens is utimensat(2) with a null path, which x/sys cannot say.
func futimens(fd int, a Attr) error {
	ts := a.times()
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
