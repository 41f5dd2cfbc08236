package process

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec replaces this program; see forkExec for how it looks the command up. It returns only an
// error.
func Exec(argv, env []string) *StartError {
	var denied error
	for _, path := range candidates(argv[0], env) {
		err := syscall.Exec(path, argv, env)
		if err == syscall.ENOEXEC {
			err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, argv[1:]...), env)
		}
		switch err {
		case syscall.ENOENT, syscall.ENOTDIR:
		case syscall.EACCES:
			denied = err
		default:
			return &StartError{argv[0], err}
		}
	}
	if denied != nil {
		return &StartError{argv[0], denied}
	}
	return &StartError{argv[0], syscall.ENOENT}
}

// takeForeground makes a process group of this session the terminal's foreground,
// whether or not the caller is in it.
func takeForeground(tty, pgrp int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The mask is this thread's alone: the runtime gives those that it makes the mask
	// that the process was started with.
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(unix.SIGTTOU), &before); err != nil {
		return fmt.Errorf("cannot block SIGTTOU: %w", err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	return unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, pgrp)
}

// ForegroundTerminal is a descriptor of 0, 1 and 2 that is this session's terminal
// and in whose foreground this process is, or -1. A background job leaves the
// terminal to its present foreground.
func ForegroundTerminal() int {
	for fd := range 3 {
		if pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && pgrp == syscall.Getpgrp() {
			return fd
		}
	}
	return -1
}

// ReclaimForeground puts this process's own group back into the foreground of the
// terminal that a command has left, and says whether there is such a terminal.
func ReclaimForeground(fd int) bool {
	if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil {
		return false
	}
	// It fails when the terminal has hung up: then there is no foreground to have.
	_ = takeForeground(fd, syscall.Getpgrp())
	return true
}
