package lifecycle

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/contract"
)

// TestDirectoryAtNameOfOwnFileBarsNoStart: an earlier run of the container may have left it.
func TestDirectoryAtNameOfOwnFileBarsNoStart(t *testing.T) {
	for _, name := range []string{"ready", "run/" + contract.StateFileName, "run/" + contract.ControlSocketName} {
		r := start(t, scenario{command: []string{"sh", "-c", `test -f "$DIR/ready" && exit 5`}, before: func(dir string) {
			if err := os.MkdirAll(filepath.Join(dir, name, "of the agent"), 0o755); err != nil {
				t.Fatal(err)
			}
		}})
		if code := r.code(); code != 5 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if kept, err := filepath.Glob(filepath.Join(r.dir, name+".aside-*", "of the agent")); err != nil || len(kept) != 1 {
			t.Errorf("%s: the directory is at %q, %v", name, kept, err)
		}
	}
}
