package run

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// madeBy is all that an engine has of one operator's sandboxes, and all volumes without a label of ours.
func madeBy(t *testing.T, o *harness.Operator) []string {
	t.Helper()
	own := "label=" + contract.LabelDataDir + "=" + o.DataDir
	out := harness.EngineOK(t, "ps", "-aq", "--filter", own) + "\n" + harness.EngineOK(t, "volume", "ls", "-q", "--filter", own) + "\n" +
		harness.EngineOK(t, "ps", "-aq", "--filter", "label="+contract.LabelPrefix+"helper-of")
	for v := range strings.Lines(harness.EngineOK(t, "volume", "ls", "--format", `{{.Name}} {{.Label "`+contract.LabelDataDir+`"}}`)) {
		if name, label, _ := strings.Cut(strings.TrimSpace(v), " "); label == "" && strings.HasPrefix(name, "sandbox-killed-") {
			out += "\nwithout a label: " + name
		}
	}
	return strings.Fields(out)
}

// Killed at any instant while it prepares and starts, the program leaves nothing: what it made the daemon
// finds and ends, or removes.
func TestClientKilledAtAnyInstantLeavesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	o := harness.NewOperator(t)
	for n := range programKills {
		p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u"+strconv.Itoa(n), "--sandbox-id", "killed-"+strconv.Itoa(n), "--", "true")
		kill := time.AfterFunc(time.Duration(random.Int64N(int64(400*time.Millisecond))), func() { p.Process.Kill() })
		p.End()
		kill.Stop()
	}
	// Another run; the daemon ends when it is over and nothing is left to do.
	if r := o.Run(nil, "last", "--sandbox-id", "killed-last", "--", "true"); r.Code != 0 {
		t.Fatal(r)
	}
	harness.AwaitDeath(t, o.DaemonPID())
	if left := madeBy(t, o); len(left) != 0 {
		t.Errorf("the engine still has %q", left)
	}
	entries, err := os.ReadDir(filepath.Join(o.DataDir, "sandboxes"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// What has ended well is remembered for a while.
		if s, err := o.Data().Sandbox(e.Name()); err != nil {
			t.Errorf("%s is left", e.Name())
		} else if r, err := s.Load(); err != nil || r.Ended == nil || !r.Ended.Removed {
			t.Errorf("%s is left: %+v, %v", e.Name(), r.Ended, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || slices.Contains(strings.Fields(string(mounts)), o.DataDir) {
		t.Errorf("mounts are left: %v", err)
	}
}
