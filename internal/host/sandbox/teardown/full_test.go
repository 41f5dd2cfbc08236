package teardown

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// fullDisk is a data directory on a disk of its own, and what fills the rest of it.
func fullDisk(t *testing.T) (d datadir.Dir, fill func()) {
	t.Helper()
	at := t.TempDir()
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("this test needs root, to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := datadir.Open(filepath.Join(at, "data"))
	if err != nil {
		t.Fatal(err)
	}
	return d, func() {
		f, err := os.Create(filepath.Join(at, "rest"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = io.WriteString(f, "x")
			if _, cerr := f.Write(make([]byte, 4095)); err == nil {
				err = cerr
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// On a full disk, what a sandbox that has saved all has left is removed, which is what frees the space.
func TestEndOnAFullDiskFreesIt(t *testing.T) {
	d, fill := fullDisk(t)
	s, err := d.Sandbox("s")
	if err == nil {
		err = makeDir(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &livesEngine{sandboxDir: s, volumes: map[string]bool{"home": true, "state": true}}
	r := datadir.Record{SandboxID: "s", Container: "c", Engine: "engine", Volumes: []string{"home", "state"}, Fresh: true}
	if err := errors.Join(s.Save(r), e.start()); err != nil {
		t.Fatal(err)
	}
	e.exit(t)
	fill()
	r, err = End(t.Context(), e, s, r)
	if !IsFull(err) || r.Ended == nil || !r.Ended.Removed || len(e.volumes) != 0 || !e.removed {
		t.Errorf("it ended as %+v, %v, with the volumes %v", r.Ended, err, e.volumes)
	}
	// What could not be written down is found again when there is space.
	if err := os.Remove(filepath.Join(filepath.Dir(d.Path()), "rest")); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Load(); err == nil {
		r, err = End(t.Context(), e, s, r)
	}
	if err != nil || r.Ended.Outcome != datadir.Completed || !r.Ended.Removed {
		t.Errorf("then it ended as %+v, %v", r.Ended, err)
	}
}
