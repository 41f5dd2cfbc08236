package sigtramp

import (
	"fmt"
	"syscall"
	"unsafe"
)

// sigaction is the kernel's struct sigaction, the same on amd64 and arm64.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

func rtSigaction(sig syscall.Signal, act, old *sigaction) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("cannot handle signal %d: %w", sig, errno)
	}
	return nil
}

// Actions without a handler; see SetAction.
const (
	Default uintptr = 0 // SIG_DFL
	Ignore  uintptr = 1 // SIG_IGN
)

// ClearIgnored gives every signal that this process ignores its default action, which the next program
// inherits.
func ClearIgnored() error {
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		var a sigaction
		if err := rtSigaction(sig, nil, &a); err != nil {
			return err
		}
		if a.handler != Ignore {
			continue
		}
		if err := SetAction(sig, Default); err != nil {
			return err
		}
	}
	return nil
}

// SetAction makes Default or Ignore what this process does on a signal, without the runtime's
// knowledge.
func SetAction(sig syscall.Signal, action uintptr) error {
	return rtSigaction(sig, &sigaction{handler: action}, nil)
}
