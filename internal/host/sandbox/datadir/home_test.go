package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A directory whose record was lost is no leftover while home, state or disk has files: they may be all that there
// is of them.
func TestSweepLeavesWhatHoldsFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		file string // in the sandbox's directory
		left bool
	}{
		"nothing":         {"", false},
		"a file at home":  {"home/file", true},
		"a file in state": {"state/journal", true},
		"a disk":          {"disk/image", true},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(filepath.Join(t.TempDir(), "data"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.Sandbox("lost")
			if err != nil {
				t.Fatal(err)
			}
			lock, err := s.Make(Record{SandboxID: "lost", Dirs: true})
			if err != nil {
				t.Fatal(err)
			}
			lock.Unlock()
			if tc.file != "" {
				path := s.file(tc.file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			old := time.Now().Add(-2 * leftoverAfter)
			if err := errors.Join(os.Remove(s.file("record.json")), os.Chtimes(s.path, old, old)); err != nil {
				t.Fatal(err)
			}
			if err := d.Sweep(func(string, Record) error { return nil }); err != nil || s.Exists() != tc.left {
				t.Errorf("it is left: %t, %v", s.Exists(), err)
			}
		})
	}
}
