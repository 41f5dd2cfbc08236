package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/fusefs"
	"github.com/matrx/sandbox/internal/storage/cold/httpapi"
	"github.com/matrx/sandbox/internal/wire"
)

// coldPath is the cold path as the session needs it. It works without a mount too: what an
// earlier process left pending goes up, and the control socket reaches it.
type coldPath interface {
	// Serve serves a mount until it is unmounted or ctx ends.
	Serve(ctx context.Context, fd int, started func()) error
	// Flush brings what is pending to S3 and returns what it could not.
	Flush(ctx context.Context) []contract.Unsaved
	Status() *contract.ColdStatus
	Handler() http.Handler
	Close() error
}

// mountedCold is the tree with its two fronts: the mount and the control socket.
type mountedCold struct {
	*cold.FS
	log *slog.Logger
}

var _ coldPath = mountedCold{}

func (m mountedCold) Serve(ctx context.Context, fd int, started func()) error {
	return fusefs.Serve(ctx, m.FS, fd, m.log, started)
}

func (m mountedCold) Handler() http.Handler { return httpapi.Handler(m.FS) }

func newCold(s *session) (coldPath, error) {
	tree, err := cold.New(cold.Options{Config: s.cfg, Store: s.store, Fence: s.deferred, Log: s.log})
	if err != nil {
		return nil, err
	}
	return mountedCold{tree, s.log}, nil
}

// serveCold serves the mount behind the descriptor and tells PID 1 whether that works.
func (s *session) serveCold(ctx context.Context, fds []int) {
	if len(fds) != 1 {
		closeAll(fds)
		s.coldFailed(errors.New("no descriptor came with the message"))
		return
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.cold.Serve(ctx, fds[0], func() { close(started) }) }()
	go func() {
		late := time.NewTimer(coldStart)
		defer late.Stop()
		select {
		case <-started:
			_ = s.conn.Send(wire.Message{ColdReady: &wire.ColdReady{}}) // a failure is PID 1's end, which ends us
			if err := <-ended; err != nil && ctx.Err() == nil {
				s.log.Error("the cold path is not served any more", "event", "cold_ended", "error", err)
			}
		case err := <-ended:
			if err == nil {
				err = errors.New("the mount ended at once")
			}
			s.coldFailed(err)
		case <-late.C:
			s.coldFailed(fmt.Errorf("the kernel was not answered within %s", coldStart))
		}
	}()
}

// coldStart bounds how long PID 1, and with it the workload, waits for the mount.
const coldStart = 15 * time.Second

func (s *session) coldFailed(err error) {
	s.log.Warn("the cold path cannot be served", "event", "cold_failed", "error", err)
	_ = s.conn.Send(wire.Message{ColdFailed: &wire.ColdFailed{Reason: err.Error()}})
}
