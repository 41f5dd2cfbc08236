// Package s3 is the suite's own S3: the embedded server as a child process, a
// workspace of its own for each check, and a link to it that can be cut.
package s3

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// SocketName is the name of the link's socket in its directory.
const SocketName = "storage.sock"

// Link is a unix socket in a directory of its own, whose connections are passed to the
// server as they are. Cut ends them all and refuses more; Mend lets new ones through: an
// S3 that goes away and comes back.
type Link struct {
	Dir      string // to be mounted into a container
	upstream string

	mu       sync.Mutex
	cut      bool
	listener net.Listener
	conns    map[net.Conn]struct{}
	done     sync.WaitGroup
}

// NewLink makes the directory dir and listens in it.
func NewLink(dir, upstream string) (*Link, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a link to S3: %w", err)
	}
	l := &Link{Dir: dir, upstream: upstream, conns: map[net.Conn]struct{}{}}
	socket := filepath.Join(dir, SocketName)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("cannot make a link to S3: %w", err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot make a link to S3: %w", err)
	}
	l.listener = listener
	l.done.Go(l.accept)
	return l, nil
}

// Cut ends every connection and closes new ones at once.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		c.Close()
	}
}

// Mend lets connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// Close ends the link and waits for its connections.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.Cut()
	l.done.Wait()
	return err
}

func (l *Link) accept() {
	for {
		c, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a client that gave up before it was served
		}
		if !l.keep(c) {
			c.Close()
			continue
		}
		l.done.Go(func() { l.pass(c) })
	}
}

func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	c.Close()
}

func (l *Link) pass(client net.Conn) {
	defer l.forget(client)
	server, err := net.Dial("unix", l.upstream)
	if err != nil {
		return
	}
	if !l.keep(server) {
		server.Close()
		return
	}
	defer l.forget(server)
	l.done.Go(func() {
		defer client.Close()
		_, _ = io.Copy(client, server) // its end, for any reason, is the connection's end
	})
	_, _ = io.Copy(server, client)
}
