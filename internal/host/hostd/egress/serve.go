package egress

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves a proxy on a listener.
type Server struct {
	http  *http.Server
	proxy *Proxy
	done  chan error
}

// Serve begins to serve; Close ends it.
func Serve(l net.Listener, p *Proxy) *Server {
	s := &Server{proxy: p, done: make(chan error, 1), http: &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}}
	go func() {
		s.done <- s.http.Serve(&bounded{Listener: l, places: make(chan struct{}, mostConnections), over: make(chan struct{})})
	}()
	return s
}

// Close cuts off the connections and requests that are under way.
func (s *Server) Close() error {
	s.proxy.stop()
	err := s.http.Close()
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	s.proxy.pipes.Wait()
	s.proxy.plain.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// bounded accepts at most mostConnections at a time; further ones wait in the kernel's queue.
type bounded struct {
	net.Listener
	places chan struct{}
	over   chan struct{}
	once   sync.Once
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.over:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &placed{Conn: c, places: b.places}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.over) })
	return b.Listener.Close()
}

// placed is a connection that gives its place back.
type placed struct {
	net.Conn
	places chan struct{}
	once   sync.Once
}

func (c *placed) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.places })
	return err
}

// CloseWrite passes on the end of one direction.
func (c *placed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
