package hostd

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// running is a fake engine in which the container "c" runs.
func running() *fakeEngine {
	return &fakeEngine{
		containers: map[string]*engine.Container{"c": {ID: "c", Running: true, Started: true}},
		volumes:    map[string]bool{"v-home": true, "v-state": true},
		ended:      map[string]chan engine.Exit{"c": make(chan engine.Exit)},
		output:     "hello\n",
	}
}

func (e *fakeEngine) exit(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers["c"]
	if !c.Running {
		return
	}
	c.Running, c.ExitCode, c.Finished = false, code, time.Now()
	close(e.ended["c"]) // for all that wait
}

// say writes what sandbox-init writes as it exits.
func say(t *testing.T, s datadir.Sandbox, code int) {
	t.Helper()
	b, err := json.Marshal(contract.State{Phase: contract.PhaseExit, ReadyAt: time.Now(), ExitCode: &code, Flush: &contract.FlushResult{}})
	if err == nil {
		err = os.WriteFile(filepath.Join(s.RunDir(), contract.StateFileName), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// keep runs a daemon in this process until the test ends.
func keep(t *testing.T, d datadir.Dir, open func(context.Context, string) (Engine, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- run(ctx, Options{Dir: d, Log: quiet(), Linger: time.Hour, OpenEngine: open, Ready: func() { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run gives %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("the daemon ended with %v", err)
	}
}

// awaitRecord waits until the record is as wanted.
func awaitRecord(t *testing.T, s datadir.Sandbox, ok func(datadir.Record, error) bool) {
	t.Helper()
	await(t, s.LogFile(), func() bool { return ok(s.Load()) })
}

// A detached sandbox is ended by the daemon: its output stays, the rest goes.
func TestADetachedSandboxIsEnded(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
	say(t, s, 3)
	e.exit(3)
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
	r, err := s.Load()
	if err != nil || r.Ended.ExitCode != 3 || r.Ended.Outcome != datadir.Completed || len(e.volumes) != 0 || len(e.containers) != 0 {
		t.Errorf("ended as %+v, %v, left %v %v", r.Ended, err, e.volumes, e.containers)
	}
	if b, err := os.ReadFile(s.LogFile()); err != nil || string(b) != "hello\n" {
		t.Errorf("its output is %q, %v", b, err)
	}
	// Its door is closed.
	await(t, s.HostDir(), func() bool {
		_, err := os.Stat(filepath.Join(s.HostDir(), contract.HostStorageSocketName))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// A daemon that is told to end does, while it serves; the sandbox is the next one's.
func TestADaemonEndsWhileASandboxRuns(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	t.Run("first", func(t *testing.T) {
		keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
		mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
	})
	if r, err := s.Load(); err != nil || r.Ended != nil {
		t.Errorf("it was ended: %+v, %v", r.Ended, err)
	}
	t.Run("second", func(t *testing.T) {
		keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
		mustAsk(t, s, "GET", "users/u1/hot/a", "")
	})
}

// One that was killed keeps its volumes.
func TestAKilledSandboxKeepsItsVolumes(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	e.exit(137)
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil })
	r, _ := s.Load()
	if !r.Ended.Kept || r.Ended.Outcome != datadir.Killed || len(e.volumes) != 2 || len(e.containers) != 1 {
		t.Errorf("ended as %+v, left %v %v", r.Ended, e.volumes, e.containers)
	}
}

// While the program that runs a sandbox lives, it and no other process ends the sandbox.
func TestAProgramsSandboxIsLeftToIt(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	lock, err := s.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
	say(t, s, 0)
	e.exit(0)
	mustAsk(t, s, "GET", "users/u1/hot/a", "")
	if r, err := s.Load(); err != nil || r.Ended != nil {
		t.Fatalf("it was ended: %+v, %v", r.Ended, err)
	}
	lock.Unlock() // the program dies
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
}

// A program that is killed between the container and its record leaves neither.
func TestAContainerWithoutARecordIsFound(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	r, _ := s.Load()
	r.Container, r.Engine = "", ""
	if err := s.Save(r); err != nil {
		t.Fatal(err)
	}
	e.containers["c"].Running, e.containers["c"].Started, e.containers["c"].Name = false, false, "sandbox-one"
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
	if r, _ := s.Load(); r.Ended.Outcome != datadir.NotStarted || len(e.containers)+len(e.volumes) != 0 {
		t.Errorf("ended as %+v, left %v %v", r.Ended, e.containers, e.volumes)
	}
}

// A program that is killed before there is a container leaves nothing.
func TestASandboxThatNeverBeganIsForgotten(t *testing.T) {
	d, e := newDir(t), running()
	clear(e.containers)
	s := newSandbox(t, d, "one", "u1")
	r, _ := s.Load()
	r.Container = ""
	if err := s.Save(r); err != nil {
		t.Fatal(err)
	}
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	await(t, filepath.Dir(s.RunDir()), func() bool {
		_, err := os.Stat(filepath.Dir(s.RunDir()))
		return errors.Is(err, fs.ErrNotExist)
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.volumes) != 0 {
		t.Errorf("left %v", e.volumes)
	}
}

// While it cannot end a sandbox, the daemon does not keep other processes from it: they may mend what it fails at.
func TestTheLockIsFreeBetweenAttempts(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	asked := make(chan struct{}, 64)
	keep(t, d, func(context.Context, string) (Engine, error) {
		asked <- struct{}{}
		return nil, engine.ErrNoEngine
	})
	<-asked
	<-asked // of the sweep and of the sandbox
	lock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	say(t, s, 0)
	e.exit(0)
	r, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = teardown.End(t.Context(), e, s, r); err != nil || !r.Ended.Removed {
		t.Errorf("it cannot be ended: %+v, %v", r.Ended, err)
	}
}

// An engine that is away for a moment does not make the daemon forget a sandbox, nor
// does one that is not the one which runs it.
func TestAnEngineThatIsAwayIsWaitedFor(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	say(t, s, 0)
	e.containers["c"].Running = false
	var calls atomic.Int32
	keep(t, d, func(context.Context, string) (Engine, error) {
		if calls.Add(1) == 1 {
			return nil, engine.ErrNoEngine
		}
		return e, nil
	})
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
	if calls.Load() < 2 {
		t.Errorf("the engine was asked %d times", calls.Load())
	}
}

// What has left nothing is remembered for a week; what has kept something, until it is saved.
func TestOldSandboxesAreForgotten(t *testing.T) {
	d, e := newDir(t), running()
	long, recent := time.Now().Add(-8*24*time.Hour), time.Now().Add(-6*24*time.Hour)
	for id, ended := range map[string]datadir.Ended{
		"old": {At: long, Removed: true}, "recent": {At: recent, Removed: true}, "kept": {At: long, Kept: true},
	} {
		s := newSandbox(t, d, id, "u1")
		r, _ := s.Load()
		r.Ended = &ended
		if err := s.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	old, _ := d.Sandbox("old")
	await(t, filepath.Dir(old.RunDir()), func() bool { return !old.Exists() })
	if left := remembers(t, d); !slices.Equal(left, []string{"kept", "recent"}) {
		t.Errorf("remembered %q", left)
	}
}

func remembers(t *testing.T, d datadir.Dir) []string {
	t.Helper()
	records, err := d.Records()
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, r := range records {
		left = append(left, r.SandboxID)
	}
	slices.Sort(left)
	return left
}

// The holder of the lease is remembered over the daemon's death.
func TestTheLeasesHolderIsRemembered(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	mustAsk(t, s, "PUT", "users/u1/"+contract.LeaseName, `{"sandbox_id":"one","instance":"i-1"}`)
	if got := s.Instance(); got != "i-1" {
		t.Errorf("remembered %q", got)
	}
	mustAsk(t, s, "PUT", "users/u1/"+contract.LeaseName, `{"sandbox_id":"one","instance":"i-1","released":true}`)
	if got := s.Instance(); got != "i-1" {
		t.Errorf("after the release %q", got)
	}
}
