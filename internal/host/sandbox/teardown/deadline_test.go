package teardown

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// clock is an engine that knows one container's start and counts the stops.
type clock struct {
	began time.Time
	stops atomic.Int32
	err   error
}

func (c *clock) Inspect(context.Context, string) (engine.Container, error) {
	return engine.Container{Began: c.began, Running: true}, c.err
}

func (c *clock) Stop(context.Context, string) error {
	c.stops.Add(1)
	return nil
}

func newSandboxDir(t *testing.T) datadir.Sandbox {
	t.Helper()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sandboxDir, err := d.Sandbox("s")
	if err == nil {
		err = makeDir(sandboxDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sandboxDir
}

func TestDeadlineCountsFromTheContainersStart(t *testing.T) {
	sandboxDir := newSandboxDir(t)
	synctest.Test(t, func(t *testing.T) {
		c := &clock{began: time.Now().Add(-time.Hour)}
		late := Deadline(t.Context(), c, sandboxDir, datadir.Record{Limits: datadir.Limits{Timeout: 2 * time.Hour}})
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if c.stops.Load() != 0 || sandboxDir.Marks().Timeout() {
			t.Error("it is stopped before its time")
		}
		if err := <-late; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if c.stops.Load() != 1 || !sandboxDir.Marks().Timeout() {
			t.Errorf("stopped %d times, marked %t", c.stops.Load(), sandboxDir.Marks().Timeout())
		}
	})
}

func TestDeadlineOfOneThatIsStoppedAlready(t *testing.T) {
	sandboxDir := newSandboxDir(t)
	if err := sandboxDir.Marks().SetStop(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &clock{began: time.Now()}
		Deadline(t.Context(), c, sandboxDir, datadir.Record{Limits: datadir.Limits{Timeout: time.Minute}})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		// The process that marked it may have been killed before the stop: it is not left running.
		if c.stops.Load() != 1 || sandboxDir.Marks().Timeout() {
			t.Errorf("stopped %d times, marked %t", c.stops.Load(), sandboxDir.Marks().Timeout())
		}
	})
}

func TestNoDeadline(t *testing.T) {
	if Deadline(t.Context(), &clock{}, datadir.Sandbox{}, datadir.Record{}) != nil {
		t.Error("a sandbox without a limit has one")
	}
	sandboxDir := newSandboxDir(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c := &clock{began: time.Now()}
		Deadline(ctx, c, sandboxDir, datadir.Record{Limits: datadir.Limits{Timeout: time.Minute}})
		synctest.Wait()
		stop() // it has ended before
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if c.stops.Load() != 0 || sandboxDir.Marks().Timeout() {
			t.Error("one that has ended is stopped")
		}
	})
}

func TestDeadlineSaysWhyItCannotBeHeld(t *testing.T) {
	broken := errors.New("no engine")
	late := Deadline(t.Context(), &clock{err: broken}, datadir.Sandbox{}, datadir.Record{Limits: datadir.Limits{Timeout: time.Minute}})
	if err := <-late; !errors.Is(err, broken) {
		t.Errorf("it says %v", err)
	}
}

// makeDir makes a sandbox's directory that no process looks after.
func makeDir(s datadir.Sandbox) error {
	lock, err := s.Make(datadir.Record{SandboxID: s.ID})
	if err == nil {
		lock.Unlock()
	}
	return err
}
