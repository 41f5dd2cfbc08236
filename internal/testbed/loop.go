package testbed

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// LoopOf is the loop device that has a file, by its inode: "" when none has. The file may
// have been removed since.
func LoopOf(t *testing.T, file os.FileInfo) string {
	t.Helper()
	st := file.Sys().(*syscall.Stat_t)
	set, err := filepath.Glob("/sys/block/loop*/loop") // a device without a file has none
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range set {
		name := filepath.Join("/dev", filepath.Base(filepath.Dir(dir)))
		dev, err := os.Open(name)
		if err != nil {
			continue // detached meanwhile
		}
		info, err := unix.IoctlLoopGetStatus64(int(dev.Fd()))
		dev.Close()
		if err == nil && info.Device == st.Dev && info.Inode == st.Ino {
			return name
		}
	}
	return ""
}

// AwaitNoLoop waits until no loop device has the file. That may be later than the unmount: each
// mount namespace that was copied meanwhile, as that of a container in the making, has the
// mount for as long as it has not been tidied up.
func AwaitNoLoop(t *testing.T, file os.FileInfo) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// The kernel's own messages; a device that is detached has changed.
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		name := LoopOf(t, file)
		if name == "" {
			return
		}
		left := time.Until(deadline)
		if left <= 0 {
			t.Errorf("%s still has the file %s", name, file.Name())
			return
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		for buf := make([]byte, 16<<10); ; {
			if _, err := unix.Read(fd, buf); err == unix.EAGAIN || err == unix.EINTR {
				break // ENOBUFS: messages were lost, and others follow
			} else if err != nil && err != unix.ENOBUFS {
				t.Fatal(err)
			}
		}
	}
}
