package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A sandbox that was killed is removed while its lease still counts: that its instance is dead is remembered for as
// long as that may matter, under any name that an instance gives itself.
func TestRemovedSandboxIsKnownToBeDead(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Sandbox("killed")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := s.Make(Record{SandboxID: "killed", Dirs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	const instance = "../../of its own\x00choice"
	if err := s.SetInstance(instance); err != nil {
		t.Fatal(err)
	}
	if d.IsDead(instance) {
		t.Error("it is dead before it is removed")
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if !d.IsDead(instance) || d.IsDead("another") {
		t.Errorf("dead: %t, another: %t", d.IsDead(instance), d.IsDead("another"))
	}
	old := time.Now().Add(-2 * deadAfter)
	if err := os.Chtimes(d.deadFile(instance), old, old); err != nil {
		t.Fatal(err)
	}
	if err := d.Sweep(func(string, Record) error { return nil }); err != nil || d.IsDead(instance) {
		t.Errorf("it is remembered for ever: %t, %v", d.IsDead(instance), err)
	}
}

// That the dead cannot be forgotten keeps no sweep from its work.
func TestSweepGoesOnWhenTheDeadCannotBeForgotten(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(d.sandboxes(), removed+"left")
	if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Dir(d.deadFile("")), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := d.Sweep(func(string, Record) error { return nil }); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a removed sandbox has left: %v", err)
	}
}
