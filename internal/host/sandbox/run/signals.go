package run

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
	"golang.org/x/sys/unix"
)

const regainPause = 2 * time.Second

// pause waits, as between attempts at what sends no event.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// signalQueue has the signals that this program is sent.
type signalQueue struct{ c chan os.Signal }

// ending are the signals that tell this program to end; forwarded are the command's own.
var (
	endingSignals    = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	forwardedSignals = []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
)

// catchSignals catches all from now on.
func catchSignals() *signalQueue {
	q := &signalQueue{make(chan os.Signal, 16)}
	// SIGPIPE: an output that is closed is an error of the write, not this program's end.
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(q.c, append(endingSignals, forwardedSignals...)...)
	return q
}

func (q *signalQueue) stop() {
	signal.Stop(q.c)
	signal.Reset(syscall.SIGPIPE)
}

// forwards says whether a signal is passed on as it is.
func forwards(sig os.Signal) bool {
	return sig == syscall.SIGQUIT || sig == syscall.SIGUSR1 || sig == syscall.SIGUSR2
}

// signalName is the engine's name of a signal.
func signalName(sig os.Signal) string {
	n, ok := sig.(syscall.Signal)
	if !ok {
		return "SIGTERM"
	}
	return unix.SignalName(n)
}

// errLeft says that this program has left a sandbox that has not ended.
var errLeft = errors.New("left at the third signal")

// leftCode is the exit code of a program that a signal has ended.
func leftCode(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return contract.ExitSignalBase + int(n)
	}
	return exitFailure
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
// At the third this program leaves, and the daemon brings the sandbox to its end.
//
// Nothing here waits, for the engine or for a reader of what is said.
func (s *stopper) signal(ctx context.Context) (leave bool) {
	s.times++
	id := s.x.record.SandboxID
	switch s.times {
	case 1:
		s.begin(ctx)
		s.x.out.say("stopping the sandbox %s and saving what has changed", id)
	case 2:
		go s.send(ctx, "SIGTERM")
		s.x.out.say("ending its processes at once; saving goes on, and a third signal leaves it to itself")
	default:
		return true
	}
	return false
}

// begin begins a graceful stop.
func (s *stopper) begin(ctx context.Context) {
	if s.failed == nil {
		s.failed = make(chan error, 4)
	}
	failed, sandboxDir, container := s.failed, s.x.sandboxDir, s.x.record.Container
	go func() {
		err := sandboxDir.Marks().SetStop()
		if serr := teardown.Stop(ctx, s.x.engine, sandboxDir, container); serr != nil {
			err = serr // the mark is for the words alone
		}
		if err != nil {
			failed <- err
		}
	}()
	s.progress = watch(s.x.sandboxDir, s.x.out)
}

// send sends a signal to the sandbox.
func (s *stopper) send(ctx context.Context, name string) {
	if err := s.x.engine.Signal(ctx, s.x.record.Container, name); err != nil {
		s.x.out.say("%v", err)
	}
}

func (s *stopper) close() {
	if s.progress != nil {
		s.progress.close()
		s.progress = nil
	}
}
