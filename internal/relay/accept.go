package relay

import (
	"context"
	"net"
	"sync"
	"time"
)

// Acceptor takes connections, each in a place of its own; the others wait in the kernel's queue.
type Acceptor struct {
	From      net.Listener
	Semaphore chan struct{}   // as many as its capacity at a time
	Work      *sync.WaitGroup // of what serves them
	Failed    func(error)     // a connection was not taken
}

// pause lets descriptors become free.
const pause = 100 * time.Millisecond

// Serve takes connections until ctx is done and the listener is closed.
func (a Acceptor) Serve(ctx context.Context, serve func(net.Conn)) {
	for {
		select {
		case a.Semaphore <- struct{}{}:
		case <-ctx.Done():
			return
		}
		near, err := a.From.Accept()
		if err != nil {
			<-a.Semaphore
			if ctx.Err() != nil {
				return
			}
			a.Failed(err) // out of descriptors, or it was gone before it was taken
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		a.Work.Go(func() {
			defer func() { <-a.Semaphore }()
			serve(near)
		})
	}
}
