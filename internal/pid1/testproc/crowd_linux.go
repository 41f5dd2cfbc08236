package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/pid1/process"
)

//go:norace
//go:nosplit
func read(fd int, b *byte) {
	syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(b)), 1)
}

// deaf ignores every signal that can be.
func deaf() error {
	ignore := [4]uint64{1} // struct sigaction: SIG_IGN
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, 33:
			continue
		}
		if err := process.SetAction(sig, &ignore); err != nil {
			return err
		}
	}
	return nil
}
