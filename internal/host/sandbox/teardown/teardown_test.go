package teardown

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// noContainers is an engine that has volumes alone.
type noContainers struct{ volumes []string }

func (e *noContainers) ID() string { return "engine" }

func (e *noContainers) List(context.Context, ...string) ([]engine.Container, error) { return nil, nil }

func (e *noContainers) ask(id string) error {
	if id == "" {
		return errors.New("invalid container name or ID: value is empty") // as the client has it
	}
	return engine.ErrNoContainer
}

func (e *noContainers) Inspect(_ context.Context, id string) (engine.Container, error) {
	return engine.Container{}, e.ask(id)
}

func (e *noContainers) Logs(_ context.Context, id string, _, _ bool, _ int, _, _ io.Writer) error {
	return e.ask(id)
}

func (e *noContainers) Remove(_ context.Context, id string, _ bool) error {
	if err := e.ask(id); !errors.Is(err, engine.ErrNoContainer) {
		return err
	}
	return nil
}

func (e *noContainers) HasVolume(_ context.Context, name string) (bool, error) {
	return slices.Contains(e.volumes, name), nil
}

func (e *noContainers) RemoveVolume(_ context.Context, name string) error {
	e.volumes = slices.DeleteFunc(e.volumes, func(v string) bool { return v == name })
	return nil
}

func (e *noContainers) Scrub(context.Context, string, string) error { return nil }

// What was to be saved, and could not be, can be thrown away: there is no container then.
func TestWhatHasNoContainerIsRemoved(t *testing.T) {
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Sandbox("one")
	if err == nil {
		err = makeDir(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &noContainers{volumes: []string{"home", "state", "another's"}}
	r := datadir.Record{SandboxID: "one", Volumes: []string{"home", "state"}, Ended: &datadir.Ended{At: time.Now(), Outcome: datadir.NotStarted, Kept: true}}
	r, err = Remove(t.Context(), e, s, r)
	if err != nil || !r.Ended.Removed || r.Ended.Kept || !slices.Equal(e.volumes, []string{"another's"}) {
		t.Errorf("%+v, %v, left %q", r.Ended, err, e.volumes)
	}
}

// makingContainers is an engine that lists a container which it is still making.
type makingContainers struct{ noContainers }

func (e *makingContainers) List(context.Context, ...string) ([]engine.Container, error) {
	return []engine.Container{{ID: "c", Name: "sandbox-one"}}, nil
}

// A program was killed while the engine makes its container: that the engine does not know it yet is no proof that
// it was removed.
func TestContainerThatIsBeingMadeIsNotJudged(t *testing.T) {
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Sandbox("one")
	if err == nil {
		err = makeDir(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &makingContainers{noContainers{volumes: []string{"home"}}}
	r, err := End(t.Context(), e, s, datadir.Record{SandboxID: "one", Volumes: []string{"home"}, Fresh: true})
	if !errors.Is(err, engine.ErrNoContainer) || r.Ended != nil || r.Container != "" || len(e.volumes) != 1 {
		t.Errorf("End gives %+v, %v", r, err)
	}
}
