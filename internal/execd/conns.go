package execd

import (
	"net"
	"sync"
)

// streams counts those under way.
type streams struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there is none; nil: no caller of idle waits
}

func (s *streams) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n += n; s.n == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// idle is closed when there is none.
func (s *streams) idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	if s.n == 0 {
		close(c)
	} else {
		s.none = c
	}
	return c
}

// limited admits so many connections at a time.
type limited struct {
	net.Listener
	places chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &counted{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite ends one direction.
func (c *counted) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return half.CloseWrite()
}
