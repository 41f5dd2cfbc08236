package hostd

import (
	"context"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Told to end, the daemon stops its sandboxes, serves them until they have ended, and ends then.
func TestDaemonStopsItsSandboxesBeforeItEnds(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	e.beforeStop = func() {
		// It saves while it is being stopped.
		mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
		say(t, s, 143)
	}
	drain, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- run(t.Context(), Options{Dir: d, Log: quiet(), Drain: drain, Ready: func() { close(ready) },
			OpenEngine: func(context.Context, string) (Engine, error) { return e, nil }})
	}()
	<-ready
	close(drain)
	if err := <-done; err != nil {
		t.Errorf("Run gives %v", err)
	}
	if r, err := s.Load(); err != nil || r.Ended == nil || r.Ended.Outcome != datadir.Stopped || !r.Ended.Removed {
		t.Errorf("it ended as %+v, %v", r.Ended, err)
	}
}
