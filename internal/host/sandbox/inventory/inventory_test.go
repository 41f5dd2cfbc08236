package inventory

import (
	"context"
	"errors"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// containers is an engine that has these, in this order.
type containers []engine.Container

func (c containers) List(context.Context, ...string) ([]engine.Container, error) { return c, nil }

// A container made of an image that was committed from a sandbox has the sandbox's labels, and is not the sandbox.
func TestContainerCountsByItsRecordedID(t *testing.T) {
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
	box := func(id, name, dir string) engine.Container {
		return engine.Container{ID: id, Name: name, Running: true, Labels: map[string]string{contract.LabelSandboxID: "s", contract.LabelDataDir: dir}}
	}
	own, renamed, copied := box("own", "sandbox-s", d.Path()), box("own", "another-name", d.Path()), box("copy", "clever_name", d.Path())
	gone := t.TempDir()
	for name, tc := range map[string]struct {
		recorded string
		engine   containers
		want     string // the ID of the container that is found
	}{
		"its own":                            {"own", containers{copied, own}, "own"},
		"renamed":                            {"own", containers{copied, renamed}, "own"},
		"its own is gone":                    {"own", containers{copied}, ""},
		"not recorded yet":                   {"", containers{copied, own}, "own"},
		"not made yet":                       {"", containers{copied}, ""},
		"beside one of another directory":    {"own", containers{box("other", "sandbox-s", gone), own}, "own"},
		"its own is gone, another directory": {"own", containers{box("other", "sandbox-s", gone)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := sandboxDir.Save(datadir.Record{SandboxID: "s", Container: tc.recorded}); err != nil {
				t.Fatal(err)
			}
			got, err := Find(t.Context(), tc.engine, d, "s")
			if err != nil || got.Container != tc.want || got.Running != (tc.want != "") {
				t.Errorf("Find gives %+v, %v", got, err)
			}
			all, err := List(t.Context(), tc.engine, d, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				if e.DataDir == d.Path() && e.Container != tc.want {
					t.Errorf("List has %+v", e)
				}
			}
		})
	}
	if err := sandboxDir.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), containers{copied}, d, "s"); !errors.Is(err, errUnknown) {
		t.Errorf("the copy of one that was forgotten is found: %v", err)
	}
	if e, err := Find(t.Context(), containers{copied, own}, d, "s"); err != nil || e.Container != "own" {
		t.Errorf("one whose record is gone is %+v, %v", e, err)
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
