package tunnel

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// acceptor takes connections, each in a place of its own.
type acceptor struct {
	from   net.Listener
	places chan struct{}
	work   *sync.WaitGroup
	log    *slog.Logger
}

// accept serves until ctx is done and the listener is closed.
func (a acceptor) accept(ctx context.Context, serve func(net.Conn)) {
	for {
		select {
		case a.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		near, err := a.from.Accept()
		if err != nil {
			<-a.places
			if ctx.Err() != nil {
				return
			}
			// Out of descriptors, or a connection that was gone before it was taken.
			a.log.Warn("a connection was not taken", "event", "tunnel_accept_failed", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		a.work.Go(func() {
			defer func() { <-a.places }()
			serve(near)
		})
	}
}

// join copies both ways until both have ended.
func join(near, far net.Conn, from io.Reader) {
	var up sync.WaitGroup
	up.Go(func() { pass(far, near, near) })
	pass(near, far, from)
	up.Wait()
}

// pass copies one way and passes its end on; an error ends both connections.
func pass(to, source net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		to.Close()
		source.Close()
	}
}
