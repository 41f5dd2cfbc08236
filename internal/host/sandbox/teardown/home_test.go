package teardown

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// withHome makes a sandbox whose home is a directory, with size bytes in it, and a container that has run.
func withHome(t *testing.T, d datadir.Dir, size int) (*livesEngine, datadir.Record) {
	t.Helper()
	s, err := d.Sandbox("s")
	if err != nil {
		t.Fatal(err)
	}
	r := datadir.Record{SandboxID: "s", Container: "c", Engine: "engine", Dirs: true, Fresh: true}
	lock, err := s.Make(r)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	e := &livesEngine{sandboxDir: s}
	if err := errors.Join(os.WriteFile(filepath.Join(s.HomeDir(), "file"), make([]byte, size), 0o600), e.start()); err != nil {
		t.Fatal(err)
	}
	return e, r
}

// A home of any size that is saved goes into the trash; one that is not stays where it is. That its
// container is gone does not make it less.
func TestHomeIsDiscardedWhenItIsSaved(t *testing.T) {
	for name, tc := range map[string]struct {
		end       func(*testing.T, *livesEngine)
		discarded bool
	}{
		"saved":  {func(t *testing.T, e *livesEngine) { e.exit(t) }, true},
		"killed": {func(_ *testing.T, e *livesEngine) { e.kill() }, false},
		"killed, and its container removed": {func(_ *testing.T, e *livesEngine) {
			e.kill()
			e.removed = true
		}, false},
		"saved, and its container removed": {func(t *testing.T, e *livesEngine) {
			e.exit(t)
			e.removed = true
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := datadir.Open(filepath.Join(t.TempDir(), "data"))
			if err != nil {
				t.Fatal(err)
			}
			e, r := withHome(t, d, 1)
			tc.end(t, e)
			if r, err = End(t.Context(), e, e.sandboxDir, r); err != nil {
				t.Fatal(err)
			}
			has, err := e.sandboxDir.HasHome()
			if err != nil {
				t.Fatal(err)
			}
			trashed, err := d.Trash().Entries()
			if want := map[bool]int{true: 1}[tc.discarded]; err != nil || len(trashed) != want || has == tc.discarded || r.Ended.Kept == tc.discarded || r.Ended.Removed != tc.discarded {
				t.Errorf("%+v, it has a home: %t, the trash has %q, %v", r.Ended, has, trashed, err)
			}
		})
	}
}

// A sandbox that says nothing has not begun; of one whose words cannot be read that is not known, and its home stays.
func TestHomeStaysWhenTheStateCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		state string // "": none
		code  int
		kept  bool
	}{
		"nothing was said":                      {"", unprepared, false},
		"unreadable":                            {"\x00", unprepared, true},
		"nothing was said of a configuration":   {"", contract.ExitConfig, false},
		"unreadable, and a configuration's end": {"{", contract.ExitConfig, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := datadir.Open(filepath.Join(t.TempDir(), "data"))
			if err != nil {
				t.Fatal(err)
			}
			e, r := withHome(t, d, 1)
			e.kill()
			e.c.ExitCode, r.FirstLife = tc.code, e.c.Began
			err = e.sandboxDir.Marks().SetStop()
			if tc.state != "" {
				err = errors.Join(err, os.WriteFile(filepath.Join(e.sandboxDir.RunDir(), contract.StateFileName), []byte(tc.state), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err = End(t.Context(), e, e.sandboxDir, r)
			if err != nil || r.Ended.Kept != tc.kept {
				t.Errorf("it ended as %+v, %v", r.Ended, err)
			}
		})
	}
}

// On a full disk the trash is emptied at once: the end of the sandbox is written in the space that it frees.
func TestEndOnAFullDiskEmptiesTheTrash(t *testing.T) {
	d, fill := fullDisk(t)
	e, r := withHome(t, d, 64<<10)
	e.exit(t)
	fill()
	r, err := End(t.Context(), e, e.sandboxDir, r)
	if err != nil || r.Ended == nil || !r.Ended.Removed {
		t.Fatalf("it ended as %+v, %v", r.Ended, err)
	}
	if r, err = e.sandboxDir.Load(); err != nil || r.Ended == nil || !r.Ended.Removed {
		t.Errorf("recorded is %+v, %v", r.Ended, err)
	}
}
