package process

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals is every signal that this process is sent.
type Signals struct {
	// C has them in the order in which the kernel delivered them, real-time signals as
	// often as they were queued; of those that were pending at the same time, two threads
	// may take two at once. SIGCHLD is not among them.
	C <-chan syscall.Signal

	// Children gets a value when a child has ended.
	Children <-chan struct{}
}

// CatchSignals takes over every signal but SIGKILL, SIGSTOP and 33, which is the Go
// runtime's. It may be called once; from then on package os/signal sees none.
func CatchSignals() (*Signals, error) {
	pipe, err := installSigtramp()
	if err != nil {
		return nil, err
	}
	c := make(chan syscall.Signal, 64)
	// One slot: SIGCHLD coalesces, so a full channel already means "look again".
	children := make(chan struct{}, 1)
	go func() {
		var buf [64]record
		for {
			bytes := unsafe.Slice((*byte)(unsafe.Pointer(&buf)), unsafe.Sizeof(buf))
			n, err := pipe.Read(bytes) // whole records: each was written at once
			if err != nil {
				return // it never is closed
			}
			for _, r := range buf[:n/int(unsafe.Sizeof(buf[0]))] {
				if sig := syscall.Signal(r.signal); sig != unix.SIGCHLD {
					c <- sig
					continue
				}
				select {
				case children <- struct{}{}:
				default:
				}
			}
		}
	}()
	return &Signals{C: c, Children: children}, nil
}

// signalSet is a set for PthreadSigmask.
func signalSet(sigs ...syscall.Signal) *unix.Sigset_t {
	var set unix.Sigset_t
	for _, sig := range sigs {
		set.Val[0] |= 1 << (sig - 1)
	}
	return &set
}
