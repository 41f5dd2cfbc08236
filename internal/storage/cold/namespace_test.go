package cold_test

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaceMark says that this process has its mounts to itself already.
const namespaceMark = "COLD_TEST_OWN_MOUNTS"

// ownMounts puts this process into a mount namespace of its own: what the tests mount goes
// with the last of their processes, however that ends, SIGKILL included. A cleanup could not
// promise that, and a dead mount in /tmp stops each program that walks over it.
//
// unshare(2) is about one thread, and a Go program has several before main. execve(2) ends all but
// the one that calls it, which keeps what it has unshared: so the program begins again
// under the same PID.
func ownMounts() error {
	if os.Getenv(namespaceMark) != "" {
		return nil
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot unshare the mount namespace: %w; run the tests as root", err)
	}
	// Else what is mounted here would be seen outside too (mount_namespaces(7)).
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), namespaceMark+"=1"))
}
