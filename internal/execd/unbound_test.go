package execd

import (
	"errors"
	"testing"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/wire"
)

// TestRequestsBeforeTheBindAreRefused: none of them can be meant for the user that comes. After the bind they wait for
// the sandbox's files, and execs have the environment that came with it.
func TestRequestsBeforeTheBindAreRefused(t *testing.T) {
	s := makeSandbox(t)
	s.fork(wire.ExecdUnbound)
	if _, err := s.Start(t.Context(), execapi.Spec{Args: []string{"true"}}); !errors.Is(err, execapi.ErrUnbound) {
		t.Errorf("before the bind: %v", err)
	}
	if _, err := s.Ports(t.Context()); !errors.Is(err, execapi.ErrUnbound) {
		t.Errorf("ports before the bind: %v", err)
	}
	s.setEnviron()
	s.tell(wire.ExecdBound)
	started := make(chan error, 1)
	var st *execapi.Stream
	go func() {
		var err error
		st, err = s.StartAttached(t.Context(), sh("echo $OWN"))
		started <- err
	}()
	s.tell(wire.ExecdReady)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if o, err := collect(st); err != nil || o.out != "sandbox\n" {
		t.Errorf("the environment says %+v, %v", o, err)
	}
}
