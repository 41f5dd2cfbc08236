package run

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const regainPause = 2 * time.Second

// pause waits, as between attempts at what announces itself to nobody.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// signalQueue has the signals that tell this program to end.
type signalQueue struct{ c chan os.Signal }

func catchSignals() *signalQueue {
	q := &signalQueue{make(chan os.Signal, 8)}
	// SIGPIPE: an output that is closed is an error of the write, not this program's end.
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(q.c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return q
}

// first puts one in that came before they were caught.
func (q *signalQueue) first() { q.c <- syscall.SIGTERM }

func (q *signalQueue) stop() {
	signal.Stop(q.c)
	signal.Reset(syscall.SIGPIPE)
}

// stopper ends a sandbox as its operator asks for it.
type stopper struct {
	x        *session
	times    int
	failed   chan error
	progress *progress
}

// signal is the operator's first, second or further one. The first begins a graceful stop.
// The second is a second SIGTERM: the drain ends at once, the flush is never left out.
// Those that follow change nothing.
func (s *stopper) signal(ctx context.Context, sig os.Signal) {
	s.times++
	id := s.x.record.SandboxID
	switch s.times {
	case 1:
		if err := s.x.place.MarkStop(); err != nil {
			s.x.out.say("%v", err)
		}
		s.x.out.say("stopping the sandbox %s and saving what has changed", id)
		s.failed = make(chan error, 1)
		go func() {
			if err := s.x.engine.Stop(ctx, s.x.record.Container); err != nil {
				s.failed <- err
			}
		}()
		s.progress = watch(s.x.place, s.x.out)
	case 2:
		s.x.out.say("ending its processes at once; saving goes on")
		if err := s.x.engine.Signal(ctx, s.x.record.Container, "SIGTERM"); err != nil {
			s.x.out.say("%v", err)
		}
	default:
		s.x.out.say("still saving; `docker kill %s` ends it without, and its volumes are kept", ContainerName(id))
	}
}

func (s *stopper) close() {
	if s.progress != nil {
		s.progress.close()
		s.progress = nil
	}
}
