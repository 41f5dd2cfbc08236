package teardown

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// livesEngine has one container that can be started again, as the engine's other clients may at
// any time. Like Docker it refuses to start a container whose mounted directory is not there.
type livesEngine struct {
	sandboxDir datadir.Sandbox
	c          engine.Container
	removed    bool
	volumes    map[string]bool

	calls  int
	before func(call int, name string) error // called before each call is answered
	starts int                               // that have succeeded
}

func newLives(t *testing.T) (*livesEngine, datadir.Record) {
	t.Helper()
	e := &livesEngine{sandboxDir: newSandboxDir(t), volumes: map[string]bool{"home": true, "state": true}}
	r := datadir.Record{SandboxID: "s", Container: "c", Engine: "engine", Volumes: []string{"home", "state"}, Fresh: true}
	if err := e.sandboxDir.Save(r); err != nil {
		t.Fatal(err)
	}
	if err := e.start(); err != nil {
		t.Fatal(err)
	}
	e.exit(t)
	return e, r
}

// start begins a life, of which sandbox-init first removes the state of the one before.
func (e *livesEngine) start() error {
	if e.removed {
		return engine.ErrNoContainer
	}
	if _, err := os.Stat(e.sandboxDir.RunDir()); err != nil {
		return err
	}
	e.starts++
	e.c = engine.Container{ID: "c", Running: true, Started: true, Began: time.Unix(int64(e.starts), 0)}
	return os.RemoveAll(filepath.Join(e.sandboxDir.RunDir(), contract.StateFileName))
}

// exit ends a life well: everything is saved.
func (e *livesEngine) exit(t *testing.T) {
	t.Helper()
	code := 0
	b, err := json.Marshal(contract.State{Phase: contract.PhaseExit, ReadyAt: time.Now(), ExitCode: &code, Flush: &contract.FlushResult{}})
	if err == nil {
		err = os.WriteFile(filepath.Join(e.sandboxDir.RunDir(), contract.StateFileName), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.c.Running, e.c.Finished = false, time.Now()
}

// kill ends a life without a word.
func (e *livesEngine) kill() { e.c.Running, e.c.ExitCode, e.c.Finished = false, 137, time.Now() }

func (e *livesEngine) call(name string) error {
	e.calls++
	if e.before == nil {
		return nil
	}
	return e.before(e.calls, name)
}

func (e *livesEngine) ID() string { return "engine" }

func (e *livesEngine) List(context.Context, ...string) ([]engine.Container, error) {
	return nil, e.call("list")
}

func (e *livesEngine) Inspect(context.Context, string) (engine.Container, error) {
	if err := e.call("inspect"); err != nil {
		return engine.Container{}, err
	}
	if e.removed {
		return engine.Container{}, engine.ErrNoContainer
	}
	return e.c, nil
}

func (e *livesEngine) Logs(context.Context, string, bool, bool, int, io.Writer, io.Writer) error {
	return e.call("logs")
}

func (e *livesEngine) Remove(context.Context, string, bool) error {
	if err := e.call("remove"); err != nil {
		return err
	}
	if e.c.Running {
		return errors.New("You cannot remove a running container")
	}
	e.removed = true
	return nil
}

func (e *livesEngine) HasVolume(_ context.Context, name string) (bool, error) {
	return e.volumes[name], e.call("has volume")
}

func (e *livesEngine) RemoveVolume(_ context.Context, name string) error {
	if err := e.call("remove volume"); err != nil {
		return err
	}
	delete(e.volumes, name)
	return nil
}

func (e *livesEngine) Scrub(context.Context, string, string) error { return e.call("scrub") }

// mostCalls is more than one end takes.
const mostCalls = 12

// A container is started again, by another client of the engine, at each instant of its end. What
// its second life has written is not thrown away by the verdict on the first.
func TestVerdictIsNotCarriedOutOnAnotherLife(t *testing.T) {
	for _, ends := range []string{"killed at once", "killed later"} {
		for at := 1; at <= mostCalls; at++ {
			t.Run(fmt.Sprintf("%s, started before call %d", ends, at), func(t *testing.T) {
				e, r := newLives(t)
				e.before = func(call int, name string) error {
					if call == at && e.start() == nil && ends == "killed at once" {
						e.kill()
					}
					return nil
				}
				r, err := End(t.Context(), e, e.sandboxDir, r)
				if e.c.Running {
					if !errors.Is(err, ErrRunning) || r.Ended != nil {
						t.Errorf("of one that runs it gives %v, %+v", err, r.Ended)
					}
					e.before = nil
					e.kill()
					r, err = End(t.Context(), e, e.sandboxDir, r)
				}
				if err != nil {
					t.Fatal(err)
				}
				want := datadir.Completed
				if e.starts == 2 {
					want = datadir.Killed
				}
				if kept := len(e.volumes) == 2 && !e.removed; r.Ended.Outcome != want || kept != (e.starts == 2) || r.Ended.Kept != kept || !r.Ended.Life.Equal(e.c.Began) {
					t.Errorf("after %d lives: %+v, volumes %v, removed %t", e.starts, r.Ended, e.volumes, e.removed)
				}
				if r.Ended.Kept && e.start() != nil {
					t.Error("one that is kept cannot be started")
				}
			})
		}
	}
}

// The program that carries a verdict out is killed at each instant, and the container is started
// again before the next program goes on.
func TestVerdictOfAKilledProgramIsJudgedAgain(t *testing.T) {
	killed := errors.New("killed")
	for at := 1; at <= mostCalls; at++ {
		t.Run(fmt.Sprintf("killed before call %d", at), func(t *testing.T) {
			e, r := newLives(t)
			e.before = func(call int, _ string) error {
				if call >= at {
					return killed
				}
				return nil
			}
			_, err := End(t.Context(), e, e.sandboxDir, r)
			if err == nil {
				return // it takes fewer calls
			}
			e.before = nil
			if e.start() == nil {
				e.kill()
			}
			if r, err = e.sandboxDir.Load(); err != nil {
				t.Fatal(err)
			}
			if r, err = End(t.Context(), e, e.sandboxDir, r); err != nil {
				t.Fatal(err)
			}
			if kept := len(e.volumes) == 2; kept != (e.starts == 2) || r.Ended.Kept != kept {
				t.Errorf("after %d lives: %+v, volumes %v", e.starts, r.Ended, e.volumes)
			}
		})
	}
}

// The first life is killed and kept. The second is killed while it hydrates, or finds no workspace: what the first
// has written stays.
func TestALaterLifeIsNotFresh(t *testing.T) {
	for name, second := range map[string]contract.State{
		"killed in hydrate": {Phase: contract.PhaseHydrate},
		"no workspace":      {Phase: contract.PhaseExit, ExitCode: new(int)},
	} {
		for judged, first := range map[string]bool{"the first was judged": true, "the first was not judged": false} {
			t.Run(name+", "+judged, func(t *testing.T) {
				e, r := newLives(t)
				r.FirstLife = e.c.Began
				if err := os.RemoveAll(filepath.Join(e.sandboxDir.RunDir(), contract.StateFileName)); err != nil {
					t.Fatal(err)
				}
				e.kill()
				if first {
					var err error
					if r, err = End(t.Context(), e, e.sandboxDir, r); err != nil || !r.Ended.Kept {
						t.Fatalf("the first life ended as %+v, %v", r.Ended, err)
					}
				}
				if err := e.start(); err != nil {
					t.Fatal(err)
				}
				b, err := json.Marshal(second)
				if err == nil {
					err = os.WriteFile(filepath.Join(e.sandboxDir.RunDir(), contract.StateFileName), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				e.kill()
				if r, err = End(t.Context(), e, e.sandboxDir, r); err != nil || !r.Ended.Kept || r.Ended.Outcome != datadir.NotStarted || len(e.volumes) != 2 {
					t.Errorf("%+v, %v, volumes %v", r.Ended, err, e.volumes)
				}
			})
		}
	}
}

// An engine that has never heard of the container is not the one to ask.
func TestAnotherEngineIsNotBelieved(t *testing.T) {
	e, r := newLives(t)
	e.removed, r.Engine = true, "another"
	if r, err := End(t.Context(), e, e.sandboxDir, r); !errors.Is(err, ErrOtherEngine) || r.Ended != nil || len(e.volumes) != 2 {
		t.Errorf("End gives %v, %+v, volumes %v", err, r.Ended, e.volumes)
	}
}
