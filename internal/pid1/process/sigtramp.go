package process

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigtramp, in assembly, is the handler of every signal in PID 1. It writes who sent
// what into a pipe and returns; what the runtime has raised itself, and faults of this
// program, it passes on to the runtime's own handler.
//
// os/signal would do for most, but an init has to forward what it is sent, no more and
// no less, and os/signal does not say who sent a signal. The runtime preempts its
// threads with SIGURG, which is then forwarded to a command that nobody has signalled;
// SIGPROF and 34, which is SIGRTMIN, never arrive; queued real-time signals become
// one; and to enable all of them costs 60 switches of threads, more than the rest of
// the start. The rules for handlers beside the runtime's are those of package
// os/signal, "Go programs that use cgo": run on the alternate stack, change no mask.
//
// Between fork and exec, syscall.ForkExec puts the default action in the place of every
// handler that the runtime had installed, and these are the same signals.
func sigtrampAddr() uintptr

// What sigtramp reads; written before it is installed.
var (
	sigpipe    int32   // the pipe's writing end
	sigself    int32   // this process
	sigfaults  uint64  // bit n: signal n is a fault when the kernel sends it
	sigruntime uintptr // the runtime's handler
)

// record is what sigtramp writes, in one write of less than PIPE_BUF.
type record struct {
	signal, code, pid, uid int32
}

// sigaction is the kernel's struct sigaction, the same on amd64 and arm64.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// faults are the signals that the kernel sends for what a program does.
func faults() []syscall.Signal {
	return []syscall.Signal{unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS}
}

// installSigtramp puts sigtramp in charge of all signals and returns the pipe's
// reading end. Both ends are non-blocking: when nobody has read 4,096 signals, more
// of them are lost, as more than one of a kind always was.
func installSigtramp() (*os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("cannot make a pipe for signals: %w", err)
	}
	// What the runtime has for one signal serves for all: its handler, the flags
	// that it needs (SA_ONSTACK, SA_SIGINFO, SA_RESTART) and the way back (SA_RESTORER).
	var action sigaction
	if err := rtSigaction(unix.SIGURG, nil, &action); err != nil {
		return nil, err
	}
	sigpipe, sigself, sigruntime = int32(p[1]), int32(os.Getpid()), action.handler
	for _, sig := range faults() {
		sigfaults |= 1 << sig
	}
	action.handler = sigtrampAddr()
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == runtimeOwn {
			continue
		}
		if err := rtSigaction(sig, &action, nil); err != nil {
			return nil, err
		}
	}
	return os.NewFile(uintptr(p[0]), "signals"), nil
}

const (
	lastSignal = 64

	// runtimeOwn runs system calls on all threads (sigPerThreadSyscall in the runtime). glibc keeps
	// the same number for the same purpose, and no program can handle it there.
	runtimeOwn = 33
)

func rtSigaction(sig syscall.Signal, act, old *sigaction) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("cannot handle signal %d: %w", sig, errno)
	}
	return nil
}

// SetAction sets what this process does on a signal without the runtime's knowledge:
// a struct sigaction of the kernel whose first word is SIG_DFL (0) or SIG_IGN (1).
func SetAction(sig syscall.Signal, action *[4]uint64) error {
	return rtSigaction(sig, (*sigaction)(unsafe.Pointer(action)), nil)
}
