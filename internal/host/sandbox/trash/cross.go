package trash

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A directory may be refused where it is to be moved up (EXDEV), although all is on one file system: a subvolume of
// btrfs keeps what is in it, and a directory whose project is inherited (XFS, and ext4 with that feature) takes in only what
// is of its project. The owner of a directory can make either.

// mostTops bounds the open files. A subvolume itself can be moved up, so that one in another needs no third top.
const mostTops = 16

// cross empties a directory whose children cannot leave it: it becomes a top of its own, within which they are moved up.
func (r *remover) cross(child *os.File) error {
	if len(r.tops) == mostTops {
		return fmt.Errorf("%s keeps what is in it, and so do %d directories above it: %w", child.Name(), mostTops, unix.EXDEV)
	}
	r.tops = append(r.tops, &top{dir: child})
	defer func() { r.tops = r.tops[:len(r.tops)-1] }()
	return r.emptyTop()
}

// takeAll lets a directory take in what is of another project. A file system that knows no projects refuses, and needs
// none of it (FS_IOC_FSSETXATTR in ioctl_xfs_fsgetxattr(2)).
func takeAll(dir *os.File) {
	const (
		get, set = 0x801c581f, 0x401c5820
		inherit  = 0x200 // FS_XFLAG_PROJINHERIT
	)
	attributes := make([]uint32, 7) // struct fsxattr; the flags are first
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), get, uintptr(unsafe.Pointer(&attributes[0]))); errno != 0 || attributes[0]&inherit == 0 {
		return
	}
	attributes[0] &^= inherit
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, dir.Fd(), set, uintptr(unsafe.Pointer(&attributes[0])))
}
