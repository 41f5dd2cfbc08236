package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves a gateway on a listener.
type Server struct {
	http *http.Server
	gw   *Gateway
	done chan error
	once sync.Once
	err  error
}

// Serve begins to serve; Close ends it.
func Serve(l net.Listener, g *Gateway) *Server {
	s := &Server{gw: g, done: make(chan error, 1), http: &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10, // S3 takes 8 KiB
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}}
	go func() { s.done <- s.http.Serve(l) }()
	return s
}

// Close stops listening, lets the requests under way end until ctx is done, and
// cuts off the rest. Called again, it returns when the first call does, and the same.
func (s *Server) Close(ctx context.Context) error {
	s.once.Do(func() { s.err = s.close(ctx) })
	return s.err
}

func (s *Server) close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	s.gw.Close()
	return err
}
