package execd

import (
	"context"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/wire"
)

// talks is a command that says more than all that is between it and a reader that does not read.
func talks() execapi.Spec { return sh("head -c 8000000 /dev/zero; echo never") }

// stalled is a client that does not read.
func (s *sandbox) stalled(spec execapi.Spec) *execapi.Stream {
	s.t.Helper()
	st, err := s.StartAttached(s.t.Context(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { st.Close() })
	for last := int64(-1); ; { // until its process waits: it says nothing while another says as much and ends
		s.run(sh("head -c 8000000 /dev/zero"))
		x, err := s.Get(s.t.Context(), st.Exec.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		if x.To > 0 && x.To == last {
			return st
		}
		last = x.To
	}
}

// TestEndWaitsForNoReader: an exec with a client that does not read ends when it is removed, at its timeout, and with
// the server.
func TestEndWaitsForNoReader(t *testing.T) {
	t.Run("removal", func(t *testing.T) {
		s := newSandbox(t)
		st := s.stalled(talks())
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if err := s.Remove(ctx, st.Exec.ID); err != nil {
			t.Errorf("it is not removed: %v", err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		s := newSandbox(t)
		spec := talks()
		spec.Timeout = 2 * time.Second
		st := s.stalled(spec)
		if f := s.over(st.Exec.ID); f.Reason != execapi.TimedOut {
			t.Errorf("it has ended with %+v", f)
		}
		o, err := collect(st)
		if err != nil || o.final.Reason != execapi.TimedOut || o.final.Output != st.Offset {
			t.Errorf("its reader has %d bytes, and then %+v, %v", st.Offset, o.final, err)
		}
	})
	t.Run("drain", func(t *testing.T) {
		s := newSandbox(t)
		for range 2 {
			s.stalled(talks())
		}
		s.tell(wire.ExecdDrain)
		s.control.Close()
		ended := make(chan error, 1)
		go func() { ended <- s.server.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not end")
			_ = s.server.Process.Kill()
			<-ended
		}
		s.start() // for the cleanup
	})
}
