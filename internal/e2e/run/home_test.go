package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// Where the operator is root, home and state are directories of the data directory: the engine has no volumes
// of the sandbox's, for whose removal others would wait. They go by way of the trash, which the daemon empties
// before it ends. Another operator has volumes. inspect says which.
func TestRunHomeIsADirectoryOrAVolume(t *testing.T) {
	for name, tc := range map[string]struct {
		uid  int
		kind string
	}{
		"root":         {0, "directories"},
		"another user": {1000, "volumes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := harness.NewOperator(t)
			if tc.uid != 0 {
				o.As(tc.uid)
			}
			id := o.OK("run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach")
			o.OK("exec", id, "--", "sh", "-c", "mkdir -p ~/a/b ~/.cache && ln -s / ~/a/b/link && touch ~/a/b/file ~/.cache/not-stored")
			dirs := tc.kind == "directories"
			if volumes := harness.Volumes(t, id); (volumes == "") != dirs {
				t.Errorf("the engine has the volumes %q", volumes)
			}
			if text := o.OK("inspect", "--json", id); !strings.Contains(text, `"home":"`+tc.kind+`"`) {
				t.Errorf("inspect says %s", text)
			}
			home := o.SandboxDir(id).HomeDir()
			if _, err := os.Lstat(filepath.Join(home, "a/b/link")); (err == nil) != dirs {
				t.Errorf("in the data directory: %v", err)
			}
			o.OK("stop", id)
			harness.NothingLeft(t, id)
			if o.HasHome(id) {
				t.Error("its home is left")
			}
			o.AwaitNoDaemon()
			if left, err := os.ReadDir(filepath.Join(o.DataDir, "trash")); err != nil || len(left) != 0 {
				t.Errorf("the daemon has left %v, %v in the trash", left, err)
			}
			if r := o.Do(nil, "run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "-q", "--", "readlink", "a/b/link"); r.Stdout != "/\n" {
				t.Errorf("the next one: %v", r)
			}
		})
	}
}

// What a sandbox has kept is thrown away by a command that finds no daemon: one is started for the trash.
func TestRunRemovedHomeIsEmptiedByANewDaemon(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(nil, "u", "--sandbox-id", "s", "--", "unsaved"); r.Code != 74 {
		t.Fatal(r)
	}
	o.AwaitNoDaemon()
	o.OK("rm", "--force", "s")
	o.AwaitNoDaemon()
	if left, err := os.ReadDir(filepath.Join(o.DataDir, "trash")); err != nil || len(left) != 0 {
		t.Errorf("the trash has %v, %v", left, err)
	}
}

// Its container is removed by another program, with its volumes, and the home is still there to be saved.
func TestRunHomeOutlivesItsContainer(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--sandbox-id", "gone",
		"-e", "HOT_SYNC_QUIET_MS=60000", "-e", "HOT_SYNC_MAX_STALENESS_SECONDS=3600", "--", "sh", "-c", "echo kept >~/file; echo written; sleep 1000")
	p.Out.Await(t, "written")
	harness.EngineOK(t, "rm", "--force", "--volumes", "sandbox-gone")
	if r := p.End(); !strings.Contains(r.Stderr, "sandbox save gone") {
		t.Errorf("it ended as %v", r)
	}
	o.OK("save", "gone")
	if r := o.Do(nil, "run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "-q", "--", "cat", "file"); r.Stdout != "kept\n" {
		t.Errorf("the next one: %v", r)
	}
}

// A killed sandbox is thrown away, and its user's next one starts at once: it need not wait for the lease of a
// sandbox that is known to be dead.
func TestRunAfterAKilledOneWasThrownAway(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach")
	if r := o.Do(nil, "kill", id); r.Code != 74 {
		t.Fatalf("kill: %v", r)
	}
	o.OK("rm", "--force", id)
	if r := o.InBase("u", "-q", "--", "true"); r.Code != 0 {
		t.Errorf("the next one: %v", r)
	}
}
