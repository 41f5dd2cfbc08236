package control

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConns is how many connections are served at a time: so many of root's, so many of all others'.
	maxConns = 16
	// maxWaiting is how many more of each class wait until one of those ends. A client that uses
	// all of maxConns dials anew before the server has seen its last connection end.
	maxWaiting = 64
	// waitFor bounds that wait.
	waitFor = 10 * time.Second
)

// fairListener bounds the connections of root and those of all others, each class by itself, so
// that a workload which opens thousands takes neither the descriptors nor root's share.
// Connections beyond maxConns wait, those beyond maxWaiting are closed at once.
type fairListener struct {
	*net.UnixListener
	accepted chan net.Conn // never blocks: it has room for all that may be served
	ended    chan struct{} // closed when nothing more is accepted
	err      error         // why; good after ended

	mu          sync.Mutex
	root, other class
}

// class is the connections of root, or those of all others.
type class struct {
	lists   *turns
	served  int
	waiting []*waiter
}

// waiter is a connection that waits, with the clock that ends its wait.
type waiter struct {
	conn  *net.UnixConn
	clock *time.Timer
}

func newFairListener(u *net.UnixListener) *fairListener {
	l := &fairListener{UnixListener: u, accepted: make(chan net.Conn, 2*maxConns), ended: make(chan struct{}),
		root: class{lists: newTurns()}, other: class{lists: newTurns()}}
	go l.run()
	return l
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.ended:
		return nil, l.err
	}
}

// run takes connections until the listener is closed.
func (l *fairListener) run() {
	defer close(l.ended)
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			l.err = err
			l.dropWaiting()
			return
		}
		c := l.classOf(conn)
		l.mu.Lock()
		switch {
		case c.served < maxConns:
			l.serveLocked(c, conn)
		case len(c.waiting) < maxWaiting:
			l.waitLocked(c, conn)
		default:
			conn.Close()
		}
		l.mu.Unlock()
	}
}

func (l *fairListener) serveLocked(c *class, conn *net.UnixConn) {
	c.served++
	l.accepted <- &servedConn{UnixConn: conn, lists: c.lists, leave: sync.OnceFunc(func() { l.left(c) })}
}

func (l *fairListener) waitLocked(c *class, conn *net.UnixConn) {
	w := &waiter{conn: conn}
	w.clock = time.AfterFunc(waitFor, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(c.waiting, w); i >= 0 {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			conn.Close()
		}
	})
	c.waiting = append(c.waiting, w)
}

// left gives the share of a connection that has ended to the one that waits longest.
func (l *fairListener) left(c *class) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.served--
	if len(c.waiting) > 0 {
		w := c.waiting[0]
		c.waiting = slices.Delete(c.waiting, 0, 1)
		w.clock.Stop()
		l.serveLocked(c, w.conn)
	}
}

func (l *fairListener) dropWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range []*class{&l.root, &l.other} {
		for _, w := range c.waiting {
			w.clock.Stop()
			w.conn.Close()
		}
		c.waiting = nil
	}
}

// classOf is the class that conn belongs to, by its peer's user (SO_PEERCRED, unix(7)).
func (l *fairListener) classOf(conn *net.UnixConn) *class {
	c := &l.other
	raw, err := conn.SyscallConn()
	if err != nil {
		return c
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil && cred.Uid == 0 {
			c = &l.root
		}
	})
	return c
}

// servedConn is a connection that has a share.
type servedConn struct {
	*net.UnixConn
	lists *turns // of its class
	leave func()
}

type turnsKey struct{}

// withTurns gives the requests of a connection the turns of its class.
func withTurns(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, turnsKey{}, c.(*servedConn).lists)
}

func turnsOf(ctx context.Context) *turns { return ctx.Value(turnsKey{}).(*turns) }

func (c *servedConn) Close() error {
	c.leave() // first: a client that sees the end may dial anew at once
	return c.UnixConn.Close()
}
