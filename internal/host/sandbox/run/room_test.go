package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A new sandbox takes the place of one that never had a record, and not of one whose record
// cannot be read: it may have kept something.
func TestWhoMakesRoom(t *testing.T) {
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for id, record := range map[string]string{"none": "", "torn": `{"sandbox_id": "to`} {
		sandboxDir, err := d.Sandbox(id)
		if err == nil {
			err = makeDir(sandboxDir)
		}
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(sandboxDir.RunDir())
		if record == "" {
			if err := os.Remove(filepath.Join(dir, "record.json")); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := os.WriteFile(filepath.Join(dir, "record.json"), []byte(record), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err = makeRoom(sandboxDir)
		_, left := os.Stat(dir)
		if record == "" && (err != nil || !errors.Is(left, fs.ErrNotExist)) {
			t.Errorf("%s: %v, and it is there: %v", id, err, left)
		}
		if record != "" && (err == nil || !strings.Contains(err.Error(), "choose another --sandbox-id") || left != nil) {
			t.Errorf("%s: %v, and it is gone: %v", id, err, left)
		}
	}
}
