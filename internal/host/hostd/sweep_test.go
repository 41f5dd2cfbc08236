package hostd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// sweeper is a daemon that only sweeps.
func sweeper(t *testing.T, d datadir.Dir, e *fakeEngine) *Daemon {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	k := &Daemon{
		Options: Options{Dir: d, Log: quiet(), OpenEngine: func(context.Context, string) (Engine, error) { return e, nil }},
		ctx:     ctx, fail: cancel, served: make(map[string]*sandbox), ended: make(map[string]past),
	}
	k.emptier = newEmptier(k, d.Trash().RemoveGently)
	return k
}

// The engine made a container for a program that was killed and forgotten before the answer. It goes with
// its volumes; one that has run stays, as does one of a sandbox that has a directory, or of another name.
func TestSweepRemovesContainersOfNoSandbox(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*engine.Container, datadir.Sandbox) error
		gone   bool
	}{
		"never started":       {func(*engine.Container, datadir.Sandbox) error { return nil }, true},
		"has run":             {func(c *engine.Container, _ datadir.Sandbox) error { c.Started = true; return nil }, false},
		"has a directory":     {func(_ *engine.Container, s datadir.Sandbox) error { return makeDir(s) }, false},
		"a copy of a sandbox": {func(c *engine.Container, _ datadir.Sandbox) error { c.Name = "copy"; return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			s, err := d.Sandbox("lost")
			if err != nil {
				t.Fatal(err)
			}
			c := &engine.Container{ID: "c", Name: s.ContainerName(), Labels: map[string]string{contract.LabelSandboxID: "lost", contract.LabelDataDir: d.Path()}}
			if err := tc.change(c, s); err != nil {
				t.Fatal(err)
			}
			e := &fakeEngine{containers: map[string]*engine.Container{"c": c}, volumes: map[string]bool{"home": true}}
			if err := sweeper(t, d, e).sweepEngine(t.Context()); err != nil {
				t.Fatal(err)
			}
			if gone := len(e.containers)+len(e.volumes) == 0; gone != tc.gone {
				t.Errorf("left %v and %v", e.containers, e.volumes)
			}
		})
	}
}

// The engine makes the volumes of a sandbox that has been forgotten, as one that never began, while it was asked for
// its container. They go; those of another sandbox without a directory stay.
func TestSweepRemovesVolumesOfASandboxThatNeverBegan(t *testing.T) {
	d := newDir(t)
	e := &fakeEngine{volumes: map[string]bool{"sandbox-never-home": true, "sandbox-never-state": true, "sandbox-other-home": true}}
	k := sweeper(t, d, e)
	k.neverBegan.add(datadir.Record{SandboxID: "never", Volumes: []string{"sandbox-never-home", "sandbox-never-state"}})
	if err := k.sweepEngine(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(e.volumes) != 1 || !e.volumes["sandbox-other-home"] {
		t.Errorf("left %v", e.volumes)
	}
}

// More than can be kept in mind have ended while the daemon runs: the oldest are forgotten.
func TestSweepForgetsWhileTheDaemonRuns(t *testing.T) {
	d := newDir(t)
	k := sweeper(t, d, running())
	for n := range mostRemembered + 3 {
		s := newSandbox(t, d, fmt.Sprintf("s%04d", n), "u")
		r, err := s.Load()
		r.Ended = &datadir.Ended{At: time.Now().Add(time.Duration(n) * time.Second), Removed: true}
		if err == nil {
			err = s.Save(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k.sweep()
	left := remembers(t, d)
	if len(left) != mostRemembered || left[0] != "s0003" {
		t.Errorf("%d are remembered, from %s on", len(left), left[0])
	}
}

// A sandbox was killed and kept, and its container is started again: it has its storage, and is ended anew.
func TestSweepTakesUpAKeptSandboxThatWasStartedAgain(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	r, err := s.Load()
	if r.Ended = (&datadir.Ended{At: time.Now(), Outcome: datadir.Killed, Kept: true}); err == nil {
		err = s.Save(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.containers["c"].Labels = map[string]string{contract.LabelSandboxID: "one", contract.LabelDataDir: d.Path()}
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	await(t, filepath.Join(s.HostDir(), "socket"), func() bool {
		_, err := os.Stat(filepath.Join(s.HostDir(), contract.HostStorageSocketName))
		return err == nil
	})
	mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
	say(t, s, 0)
	e.exit(0)
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
}

// A program is killed while it makes a sandbox's directory, or while it removes it.
func TestSweepRemovesWhatIsNoSandboxsDirectory(t *testing.T) {
	d := newDir(t)
	s := newSandbox(t, d, "one", "u")
	if err := s.Save(datadir.Record{SandboxID: "one", Ended: &datadir.Ended{At: time.Now(), Removed: true}}); err != nil {
		t.Fatal(err)
	}
	sandboxes := filepath.Dir(filepath.Dir(s.RunDir()))
	// The number of no process: above what the kernel gives.
	names := []string{".new-4194305-X", ".gone-one-X", fmt.Sprintf(".new-%d-X", os.Getpid())}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(sandboxes, name, "run"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweeper(t, d, running()).sweep()
	entries, err := os.ReadDir(sandboxes)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{names[2], "one"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left %q, %v; want %q", left, err, want)
	}
}

// A program is killed before it asks for its sandbox to be served, and no other program comes by.
func TestSandboxOfAKilledProgramIsFoundByTheSweep(t *testing.T) {
	d, e := newDir(t), running()
	clear(e.containers)
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	c, err := Dial(d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := c.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := newSandbox(t, d, "one", "u")
	r, err := s.Load()
	if r.Container = ""; err == nil {
		err = s.Save(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.Release() // as by its death
	await(t, filepath.Dir(s.RunDir()), func() bool { return !s.Exists() })
	if _, err := s.Load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is remembered: %v", err)
	}
}
