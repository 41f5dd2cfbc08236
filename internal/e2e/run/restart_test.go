package run

import (
	"os/exec"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A client of the engine stops a sandbox and starts it again at once, and what its second life writes
// dies with that life unsaved. It is kept if there was a second life at all: the engine does not
// start a container whose end is being carried out.
func TestRestartedAtOnceKeepsTheSecondLife(t *testing.T) {
	for n, again := range []string{"start", "start", "restart", "restart", "restart", "restart"} {
		t.Run(again+" "+itoa(n), func(t *testing.T) {
			o := harness.NewOperator(t)
			id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
			name := "sandbox-" + id
			if again == "start" {
				harness.EngineOK(t, "stop", name)
			}
			if out, err := exec.Command("docker", again, name).CombinedOutput(); err != nil {
				t.Logf("it is not started again: %s", out)
				if e := o.AwaitEnded(id); e.Outcome != datadir.Stopped && e.Outcome != datadir.Completed || !e.Removed {
					t.Errorf("its only life ended as %+v", e)
				}
				harness.NothingLeft(t, id)
				return
			}
			if _, err := o.SandboxDir(id).AwaitState(t.Context(), func(st contract.State) bool { return st.Ready }); err != nil {
				t.Fatal(err)
			}
			harness.EngineOK(t, "kill", name)
			if e := o.AwaitEnded(id); e.Outcome != datadir.Killed || !e.Kept || !o.HasHome(id) {
				t.Errorf("its second life was killed, and it ended as %+v, with a home: %t", e, o.HasHome(id))
			}
		})
	}
}
