package main

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// orphan plays ARGS in a grandchild, whose parent ends at once.
func orphan(args []string) error { return launch(args, false) }

// session does the same in a session and with it a process group of its own.
func session(args []string) error { return launch(args, true) }

func launch(args []string, setsid bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = syscall.ForkExec(self, append([]string{"testproc"}, args...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: setsid},
	})
	return err
}

// pidns is run as the first process of a PID and a mount namespace; it gives the
// namespace its /proc and becomes COMMAND.
func pidns(args []string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("PID %d is not the first of its namespace", os.Getpid())
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	return syscall.Exec(args[0], args, os.Environ())
}
