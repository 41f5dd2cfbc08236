package process

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ForegroundRole is the argument that makes sandbox-init the small program that
// stands between fork and exec when there is a terminal.
//
// A process group takes the foreground with tcsetpgrp(3), which stops a background
// caller with SIGTTOU unless that is blocked or ignored, and both would be inherited
// by the command. The parent cannot do it either: until the child has run there is
// no such group, and after that the command may already have been stopped for reading.
// So the child does it, in a program that can put its mask right again. It costs some
// 2 ms, where a person sits and types.
const ForegroundRole = "exec-in-foreground"

// SelfExe is this very program, wherever its file has gone.
const SelfExe = "/proc/self/exe"

func foregroundArgv(spec Spec) []string {
	return append([]string{"sandbox-init", ForegroundRole, strconv.Itoa(spec.Terminal)}, spec.Argv...)
}

// ExecInForeground is that program; args are what follows ForegroundRole. It returns
// only an exit code, when the command cannot be executed.
func ExecInForeground(args []string) int {
	if len(args) < 2 {
		fmt.Fprintf(os.Stderr, "sandbox-init: %s is for sandbox-init's own use\n", ForegroundRole)
		return 2
	}
	tty, err := strconv.Atoi(args[0])
	if err == nil {
		err = takeForeground(tty, syscall.Getpgrp())
	}
	if err != nil {
		// The command still runs, in the background, as it would without a terminal.
		fmt.Fprintf(os.Stderr, "sandbox-init: cannot put %q in the terminal's foreground: %v\n", args[1], err)
	}
	failed := Exec(args[1:], os.Environ())
	fmt.Fprintf(os.Stderr, "sandbox-init: %v\n", failed)
	return failed.Code()
}

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
