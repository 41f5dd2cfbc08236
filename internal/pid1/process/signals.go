package process

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals takes every signal that this process can be sent and that a command may be
// told of, and hands them out in the order in which they came. Left out are
//
//   - SIGCHLD, which is the reaper's;
//   - SIGURG, with which the Go runtime preempts its own threads: nobody can tell
//     those from a real one, and by default it does nothing to anybody;
//   - SIGPROF, which the runtime keeps for its profiler;
//   - 33, with which the runtime runs system calls on all its threads.
//
// Equal signals that are pending at once coalesce, real-time signals too.
func Signals() <-chan os.Signal {
	// The runtime holds one of each kind, os/signal drops what does not fit:
	// room for all of them several times over.
	c := make(chan os.Signal, 256)
	var all []os.Signal
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPROF, 33:
		default:
			all = append(all, sig)
		}
	}
	signal.Notify(c, all...)
	for _, sig := range []uintptr{32, 34} {
		adoptHandler(sig, uintptr(unix.SIGUSR1))
	}
	return c
}

const lastSignal = 64

// adoptHandler gives a signal the handler that another has. The runtime passes on to
// os/signal whatever reaches its handler from a user, but declines to install it for
// 32 and 34, which a C library would use; there is none in this program, and 34 is
// SIGRTMIN to everyone else.
func adoptHandler(sig, from uintptr) {
	var action [4]uint64 // struct sigaction of the kernel: handler, flags, restorer, mask
	const maskBytes = 8
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, from, 0, uintptr(unsafe.Pointer(&action)), maskBytes, 0, 0); errno == 0 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, maskBytes, 0, 0)
	}
}

// signalSet is a set for PthreadSigmask.
func signalSet(sigs ...syscall.Signal) *unix.Sigset_t {
	var set unix.Sigset_t
	for _, sig := range sigs {
		set.Val[0] |= 1 << (sig - 1)
	}
	return &set
}

// BlockSignals blocks signals on this thread, to which the caller has locked its
// goroutine. A thread that writes to a terminal or a pipe blocks SIGTTOU and SIGPIPE:
// the write then succeeds in the background, or fails, and is never a signal that
// somebody seems to have sent.
func BlockSignals(sigs ...syscall.Signal) {
	// It cannot fail: the arguments are valid (rt_sigprocmask(2)).
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(sigs...), nil)
}
