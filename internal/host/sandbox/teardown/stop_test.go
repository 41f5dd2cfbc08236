package teardown

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/matrx/sandbox/internal/host/engine"
)

// slowToStop is an engine with a container that takes its time to end.
type slowToStop struct {
	stops    atomic.Int32
	stopping chan struct{} // closed when the first stop has begun
	end      chan struct{}
	over     atomic.Bool
}

func (e *slowToStop) Inspect(context.Context, string) (engine.Container, error) {
	return engine.Container{Running: !e.over.Load()}, nil
}

func (e *slowToStop) Stop(context.Context, string) error {
	if e.stops.Add(1) == 1 {
		close(e.stopping)
	}
	<-e.end
	e.over.Store(true)
	return nil
}

// Of stops at once the engine is asked for one: the others wait for its end.
func TestSecondStopWaitsForTheFirst(t *testing.T) {
	sandboxDir := newSandboxDir(t)
	e := &slowToStop{stopping: make(chan struct{}), end: make(chan struct{})}
	var begun, done sync.WaitGroup
	stop := func() {
		begun.Done()
		if err := Stop(t.Context(), e, sandboxDir, "c"); err != nil {
			t.Error(err)
		}
	}
	const stops = 32
	begun.Add(stops)
	for range stops {
		done.Go(stop)
	}
	begun.Wait()
	<-e.stopping
	close(e.end)
	done.Wait()
	if n := e.stops.Load(); n != 1 {
		t.Errorf("the engine was asked to stop it %d times", n)
	}
}
