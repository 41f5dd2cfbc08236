package hostd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// withDisk gives a sandbox a disk with something in its home.
func withDisk(t *testing.T, s datadir.Sandbox, change func(*datadir.Record)) {
	t.Helper()
	const size = 32 << 20
	if err := s.Disk().Make(t.Context(), size); err != nil {
		t.Fatalf("%v; it takes root, loop devices and e2fsprogs", err)
	}
	t.Cleanup(func() {
		if err := s.Disk().Unmount(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(s.Disk().Home(), "file"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := s.Load()
	r.Limits.Disk = size
	change(&r)
	if err == nil {
		err = s.Save(r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unmounted says that the disk is there, and mounted no more.
func unmounted(t *testing.T, s datadir.Sandbox) {
	t.Helper()
	if mounted, err := s.Disk().Mounted(); mounted || err != nil {
		t.Errorf("it is mounted: %v, %v", mounted, err)
	}
	if err := s.Disk().Mount(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.Disk().Home(), "file")); err != nil || string(b) != "kept" {
		t.Errorf("the home has %q, %v", b, err)
	}
}

func noContainer(r *datadir.Record) { r.Container = "" }

// A program that is killed before there is a container leaves no disk.
func TestTheDiskOfASandboxThatNeverBeganGoes(t *testing.T) {
	d, e := newDir(t), running()
	clear(e.containers)
	s := newSandbox(t, d, "one", "u1")
	withDisk(t, s, noContainer)
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	await(t, filepath.Dir(s.RunDir()), func() bool {
		_, err := os.Stat(filepath.Dir(s.RunDir()))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// One that is killed as it begins to save what an earlier run has kept loses nothing of it.
func TestWhatWasToBeSavedIsKept(t *testing.T) {
	d, e := newDir(t), running()
	clear(e.containers)
	s := newSandbox(t, d, "one", "u1")
	withDisk(t, s, func(r *datadir.Record) { r.Container, r.Fresh = "", false })
	t.Run("daemon", func(t *testing.T) {
		keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
		awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil })
	})
	if r, err := s.Load(); err != nil || !r.Ended.Kept || r.Ended.Saved() || r.Ended.ExitCode == 0 || len(e.volumes) != 2 {
		t.Errorf("ended as %+v, %v, left %v", r.Ended, err, e.volumes)
	}
	unmounted(t, s)
}

// The disk of one that was killed is kept, and takes no device.
func TestAKilledSandboxKeepsItsDisk(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	withDisk(t, s, func(*datadir.Record) {})
	t.Run("daemon", func(t *testing.T) {
		keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
		e.exit(137)
		awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil })
	})
	if r, err := s.Load(); err != nil || !r.Ended.Kept {
		t.Errorf("ended as %+v, %v", r.Ended, err)
	}
	unmounted(t, s)
}

// The disk of one that has ended well goes with its volumes.
func TestTheDiskOfAnEndedSandboxGoes(t *testing.T) {
	d, e := newDir(t), running()
	s := newSandbox(t, d, "one", "u1")
	withDisk(t, s, func(*datadir.Record) {})
	keep(t, d, func(context.Context, string) (Engine, error) { return e, nil })
	say(t, s, 0)
	e.exit(0)
	awaitRecord(t, s, func(r datadir.Record, _ error) bool { return r.Ended != nil && r.Ended.Removed })
	if _, err := os.Lstat(s.Disk().Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
