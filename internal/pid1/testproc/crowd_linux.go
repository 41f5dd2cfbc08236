package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/pid1/sigtramp"
)

//go:norace
//go:nosplit
func read(fd int, b *byte) {
	syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(b)), 1)
}

// deaf ignores every signal that can be.
func deaf() error {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, 33:
			continue
		}
		if err := sigtramp.SetAction(sig, sigtramp.Ignore); err != nil {
			return err
		}
	}
	return nil
}
