// Package relay takes connections and connects two of them: what comes on one goes out on the
// other. Both ends of a tunnel need it, the one in the container and the one on the host.
package relay

import (
	"io"
	"net"
	"sync"
)

// Both copies both ways until both have ended, and closes neither unless one fails: then both.
// from is what comes from far, which may have been read ahead.
func Both(near, far net.Conn, from io.Reader) {
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
