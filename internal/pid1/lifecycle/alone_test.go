package lifecycle

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// TestSecondSupervisor: a sandbox-init that is executed in a running sandbox says so, and changes
// nothing there. When the first was killed, the next one starts.
func TestSecondSupervisor(t *testing.T) {
	first := start(t, scenario{}) // idle: no process outlives it
	first.await("ready", 1)
	there := []string{"HOT_PATH=" + first.home, "SANDBOX_STATE_DIR=" + filepath.Join(first.dir, "state"),
		"SANDBOX_RUN_DIR=" + filepath.Join(first.dir, "run"), "SANDBOX_READY_FILE=" + filepath.Join(first.dir, "ready")}

	second := start(t, scenario{command: sh("echo started"), env: there})
	second.ends(contract.ExitConfig)
	said := second.await("boot_failed", 1)["error"].(string)
	if !strings.Contains(said, fmt.Sprintf("PID %d", first.Process.Pid)) || !strings.Contains(said, "SANDBOX_RUN_DIR") {
		t.Errorf("it says %q", said)
	}
	if second.out.String() != "" {
		t.Error("its command ran")
	}
	if st := first.state(); !first.ready() || st.PID != first.Process.Pid || st.Phase == contract.PhaseExit {
		t.Errorf("the first one: ready %v, state %+v", first.ready(), st)
	}

	first.signal(unix.SIGKILL)
	first.ends(-1)
	third := start(t, scenario{command: sh("exit 9"), env: there})
	third.ends(9)
}
