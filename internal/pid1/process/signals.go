package process

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/pid1/sigtramp"
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
	pipe, err := sigtramp.Install()
	if err != nil {
		return nil, err
	}
	c := make(chan syscall.Signal, 64)
	// One slot: SIGCHLD coalesces, so a full channel already means "look again".
	children := make(chan struct{}, 1)
	go func() {
		var buf [64]sigtramp.Record
		for {
			n, err := pipe.Read(buf[:])
			if err != nil {
				return // it is never closed
			}
			for _, r := range buf[:n] {
				if sig := syscall.Signal(r.Signal); sig != unix.SIGCHLD {
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
