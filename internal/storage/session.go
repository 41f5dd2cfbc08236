package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/control"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/portforward"
	"github.com/matrx/sandbox/internal/wire"
)

// sender is PID 1's ear: *wire.Conn.
type sender interface {
	Send(m wire.Message, fds ...int) error
}

// session is one storage process, from Start to its end.
type session struct {
	conn     sender
	cfg      *config.Config
	resumes  bool
	messages <-chan packet
	log      *slog.Logger

	hot      hotPath
	cold     coldPath
	deferred *lease.Deferred // who may write, once that is known

	// claim makes the workspace ours, reclaim does so again.
	claim   func(ctx context.Context) (lease.Holder, error)
	reclaim func(ctx context.Context, problem func(string)) (lease.Holder, error)
	sweep   func(ctx context.Context) // removes what earlier starts have left
	store   *objectstore.Store
	server  *control.Server

	open     atomic.Bool // a checkpoint makes sense
	problems problems
}

// newSession puts the parts together; it sends nothing to S3.
func newSession(conn sender, start wire.Start, messages <-chan packet, log *slog.Logger) (*session, error) {
	cfg := &start.Config
	instance, err := lease.OpenInstance(cfg.StateDir, cfg.Instance) // locked until the process ends
	if err != nil {
		return nil, err
	}
	store, err := objectstore.Open(context.Background(), objectstore.Options{S3: cfg.S3, Credentials: start.Credentials, Log: log})
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, cfg: cfg, resumes: start.Resume, messages: messages, log: log, deferred: lease.NewDeferred(), store: store}
	if s.hot, err = newHot(s); err != nil {
		return nil, err
	}
	if s.cold, err = newCold(s); err != nil {
		return nil, err
	}
	c := &acquirer{cfg: cfg, store: store, instance: instance.ID, log: log, onChange: s.leaseChanged}
	s.claim = func(ctx context.Context) (lease.Holder, error) {
		return c.claim(ctx, cfg.HydrateTimeout, cfg.LeaseWait)
	}
	s.reclaim, s.sweep = c.reclaim, c.sweep
	return s, nil
}

// run is the whole life. Its end is the process's.
func (s *session) run(ctx context.Context) int {
	var err error
	if s.server, err = control.Serve(s.cfg.RunDir, s, s.cold.Handler(), s.log); err != nil {
		return s.fail(err)
	}
	defer s.server.Close()
	out, err := portforward.Open(s.cfg.Proxy, s.log)
	if err != nil {
		// Of no use to what is saved, and no reason not to save.
		s.log.Error("the sandbox has no way out", "event", "tunnel_open_failed", "error", err)
	} else {
		defer out.Close()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.resumes {
		err = s.resume(ctx)
	} else {
		var stopped *wire.Deadline
		if stopped, err = s.hydrate(ctx); stopped != nil {
			return s.stop(*stopped)
		}
	}
	if err != nil {
		return s.fail(err)
	}
	return s.work(ctx)
}

// fail says why the workspace is not available. The lease is free again before PID 1 acts on it.
func (s *session) fail(err error) int {
	s.log.Error("the workspace is not available", "event", "storage_failed", "error", err)
	release(context.Background(), s.deferred, lease.Seal{}, s.log)
	_ = s.conn.Send(wire.Message{Failed: &wire.Failed{Code: contract.ExitHydrate, Message: err.Error()}})
	return exitFailed
}

// stop leaves S3 as it is.
func (s *session) stop(by wire.Deadline) int {
	s.release(by, lease.Seal{})
	return s.flushed(wire.Flushed{})
}

// release releases the lease before a deadline of PID 1's.
func (s *session) release(by wire.Deadline, seal lease.Seal) {
	ctx, cancel := context.WithTimeout(context.Background(), max(by.Left(), leastForRelease))
	defer cancel()
	release(ctx, s.deferred, seal, s.log)
}

// leastForRelease is spent even when the deadline has passed: PID 1 keeps a second after it.
const leastForRelease = 300 * time.Millisecond

// flushed is the last word. The process then waits for its end, which PID 1 brings: until
// then it serves the cold path, so that PID 1 can unmount it properly.
func (s *session) flushed(f wire.Flushed) int {
	_ = s.server.Close() // what comes now is a SIGKILL, and would leave the socket
	f.Cut()
	if err := s.conn.Send(wire.Message{Flushed: &f}); err != nil {
		s.log.Error("PID 1 cannot be told what was saved", "event", "wire_failed", "error", err)
		return exitFailed
	}
	for p := range s.messages {
		closeAll(p.fds)
	}
	return exitDone
}

// errHydrateTimeout ends a hydrate that takes too long.
var errHydrateTimeout = errors.New("HYDRATE_TIMEOUT_SECONDS is over")

// hydrate takes the workspace and brings the home to what it holds, unless a Stop comes first.
func (s *session) hydrate(ctx context.Context) (stopped *wire.Deadline, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var h wire.Hydrated
	result := make(chan error, 1)
	go func() {
		var err error
		h, err = s.takeAndHydrate(ctx)
		result <- err
	}()
	for {
		select {
		case err := <-result:
			if err != nil {
				return nil, err
			}
			// Said only now: PID 1 answers with the FUSE descriptor at once, and a message that
			// is read here is thrown away.
			return nil, s.conn.Send(wire.Message{Hydrated: &h})
		case p := <-s.messages:
			closeAll(p.fds)
			by := p.Stop
			if by == nil {
				by = p.Flush // nothing is there to be flushed
			}
			if by == nil {
				continue
			}
			s.log.Info("stopped before the workspace was there; S3 is left as it is", "event", "hydrate_stopped")
			cancel()
			select {
			case <-result: //nolint:errcheck // the stop goes on with any result
			case <-time.After(by.Left()):
				s.log.Warn("hydrate did not stop in time", "event", "hydrate_stop_late")
			}
			return by, nil
		}
	}
}

func (s *session) takeAndHydrate(ctx context.Context) (wire.Hydrated, error) {
	holder, err := s.claim(ctx)
	if err != nil {
		return wire.Hydrated{}, s.tooLong(ctx, err)
	}
	s.deferred.Is(holder)
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.HydrateTimeout, errHydrateTimeout)
	defer cancel()
	h, err := s.hot.Hydrate(ctx, holder.Seal())
	if err != nil {
		return h, s.tooLong(ctx, err)
	}
	return h, nil
}

// tooLong names the variable when time was all that was missing.
func (s *session) tooLong(ctx context.Context, err error) error {
	if errors.Is(err, objectstore.ErrUnavailable) || errors.Is(context.Cause(ctx), errHydrateTimeout) {
		return fmt.Errorf("cannot hydrate the workspace %s within HYDRATE_TIMEOUT_SECONDS=%d: %w",
			workspace(s.cfg), int(s.cfg.HydrateTimeout/time.Second), err)
	}
	return err
}

// resume goes on where a process that was killed has left off. S3 may be away, or the lease in
// doubt: that is found out beside the work.
func (s *session) resume(ctx context.Context) error {
	if err := s.hot.Resume(ctx); err != nil {
		return err
	}
	go func() {
		holder, err := s.reclaim(ctx, func(p string) { s.reportProblem(fromReclaim, p) })
		if err != nil {
			return // the process ends
		}
		s.deferred.Is(holder)
		if st := holder.Status(); st.State == "lost" {
			s.leaseChanged(st)
		}
	}()
	st := s.hot.Status()
	s.log.Info("going on from the journal", "event", "resumed", "files", st.Files, "bytes", st.Bytes)
	return s.conn.Send(wire.Message{Hydrated: &wire.Hydrated{Files: st.Files, Bytes: st.Bytes}})
}

// work serves the workspace until PID 1 has it flushed.
func (s *session) work(ctx context.Context) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.sweep(ctx)
	watching := s.watch(ctx)
	s.open.Store(true)
	for {
		select {
		case <-watching.ended:
			return exitFailed // the next process goes on from the journal
		case p := <-s.messages:
			switch {
			case p.Cold != nil:
				s.serveCold(ctx, p.fds)
				continue
			case p.Drain != nil:
				s.server.GiveWayToDrain()
				s.hot.Drain(time.Now().Add(p.Drain.Left()))
			case p.Flush != nil:
				return s.flush(*p.Flush, watching)
			case p.Stop != nil:
				// PID 1 was told to stop while Hydrated was on its way: nothing has run yet.
				watching.stop()
				return s.stop(*p.Stop)
			}
			closeAll(p.fds)
		}
	}
}

// watching is hot.Run.
type watching struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has ended, by stop or because it failed
}

func (s *session) watch(ctx context.Context) *watching {
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		err := s.hot.Run(ctx)
		if ctx.Err() == nil {
			s.log.Error("the home is not watched any more", "event", "run_failed", "error", err)
		}
	}()
	return w
}

// stop ends it, and what it has under way, before the lease goes. One call that does not
// come back, on a dead disk, is no reason to wait.
func (w *watching) stop() {
	w.cancel()
	select {
	case <-w.ended:
	case <-time.After(leastForRelease):
	}
}

// flush saves what is left of both paths, gives the lease back and reports.
func (s *session) flush(by wire.Deadline, w *watching) int {
	s.open.Store(false)
	s.server.GiveWayToFlush()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), by.Left())
	defer cancel()
	var f wire.Flushed
	var err error
	var cold []contract.Unsaved
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		var both sync.WaitGroup
		both.Go(func() { cold = s.cold.Flush(ctx) })
		f, err = s.hot.Flush(ctx)
		both.Wait()
	}()
	select {
	case <-saved:
	case <-w.ended:
		return exitFailed // the next process goes on from the journal, and flushes
	}
	if err != nil {
		s.log.Error("the flush has failed", "event", "flush_failed", "error", err)
		if f.Reason == "" {
			f.Reason = err.Error()
		}
	}
	s.addCold(&f, cold)
	f.Took = time.Since(began)
	s.log.Info("the flush is over", "event", "flush_done", "files", f.Files, "bytes", f.Bytes, "took", f.Took.String(), "unsaved", f.UnsavedCount)
	w.stop()
	s.release(by, s.hot.Seal())
	return s.flushed(f)
}
