package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const namespaceMark = "BENCH_COLD_OWN_MOUNTS"

// ownMounts begins this program again in a mount namespace of its own, under the same PID: what it
// mounts goes with the last of its processes, however it ends.
func ownMounts() error {
	if os.Getenv(namespaceMark) != "" {
		return nil
	}
	runtime.LockOSThread() // unshare(2) is about one thread, and execve(2) keeps only that
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot unshare the mount namespace: %w; run it as root", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), namespaceMark+"=1"))
}
