package run

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A detached sandbox outlives its program, is found by its label, entered as the agent, and
// stopped; its output stays.
func TestDetachedSandboxOutlivesItsClient(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	if l := o.List()[id]; l.State != "ready" || l.UserID != "u" || !l.Running {
		t.Errorf("ps says %+v", l)
	}
	if got := o.OK("exec", id, "--", "/fakeinit", "do", "rights"); !strings.Contains(got, "Uid: 1000 1000 1000 1000") || !strings.Contains(got, "NoNewPrivs: 1") || !strings.Contains(got, "CapEff: 0000000000000000") {
		t.Errorf("exec'd with %s", got)
	}
	if got := o.OK("exec", id, "/fakeinit", "do", "env"); !strings.Contains(got, "HOME=/home/agent") || !strings.Contains(got, "USER=agent") {
		t.Errorf("exec'd in %s", got)
	}
	if r := o.Do(nil, "exec", id, "--", "/fakeinit", "do", "exit", "9"); r.Code != 9 {
		t.Errorf("exec'd exit 9: %v", r)
	}
	if r := o.Do(strings.NewReader("typed"), "exec", "-i", id, "--", "/fakeinit", "do", "cat"); r.Stdout != "typed(5 bytes)\n" {
		t.Errorf("exec'd cat: %v", r)
	}
	if got := o.OK("logs", id); got != "idle" {
		t.Errorf("logs: %q", got)
	}
	if r := o.Do(nil, "rm", id); r.Code == 0 || !strings.Contains(r.Stderr, "it runs") {
		t.Errorf("rm: %v", r)
	}
	if r := o.Do(nil, "stop", id); r.Code != 0 || !strings.Contains(r.Stderr, id+" stopped, exit code 143") {
		t.Errorf("stop: %v", r)
	}
	harness.NothingLeft(t, id)
	if l := o.List()[id]; l.SandboxID != "" {
		t.Errorf("ps still says %+v", l)
	}
	if l := o.List("-a")[id]; l.State != "stopped" {
		t.Errorf("ps -a says %+v", l)
	}
	if got := o.OK("logs", id); got != "idle" {
		t.Errorf("logs of what is gone: %q", got)
	}
	if r := o.Do(nil, "exec", id, "true"); r.Code != 125 || !strings.Contains(r.Stderr, "has ended") {
		t.Errorf("exec in what is gone: %v", r)
	}
	if r := o.Do(nil, "stop", "nobody"); r.Code != 125 || !strings.Contains(r.Stderr, "no such sandbox") {
		t.Errorf("stop of nobody: %v", r)
	}
}

// One that ends by itself is cleaned up without a command.
func TestDetachedSandboxEndsByItself(t *testing.T) {
	o := harness.NewOperator(t)
	r := o.Run(strings.NewReader(""), "u", "--detach", "--sandbox-id", "short", "--", "write", "x")
	if r.Code != 0 {
		t.Fatal(r)
	}
	if e := o.AwaitEnded("short"); e.Outcome != datadir.Completed || !e.Removed {
		t.Errorf("ended as %+v", e)
	}
	harness.NothingLeft(t, "short")
	if r := o.Run(nil, "u", "-q", "--", "read"); r.Stdout != "x\n" {
		t.Errorf("it has saved %v", r)
	}
}

// One that never gets ready is no success.
func TestDetachedSandboxIsRefusedAHeldWorkspace(t *testing.T) {
	o := harness.NewOperator(t)
	first := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	r := o.Run(nil, "u", "--detach", "--sandbox-id", "second")
	if r.Code != 75 || r.Stdout != "" || !strings.Contains(r.Stderr, "in use by the sandbox "+first) {
		t.Errorf("it says %v", r)
	}
}

// The embedded S3 is killed under a running sandbox: what it held is there, the sandbox
// saves, without a command of the operator.
func TestKilledDaemonIsReplaced(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(nil, "u", "--", "write", "before"); r.Code != 0 {
		t.Fatal(r)
	}
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	for range 2 {
		killed := o.DaemonPID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.AwaitDeath(t, killed)
		// Fakeinit asks until it is answered. As root, since the agent may not ask.
		if got := harness.EngineOK(t, "exec", "--user", "0", "sandbox-"+id, "/fakeinit", "do", "ask", "GET", "hot/file"); got != "200 before" {
			t.Errorf("it reads %q", got)
		}
		if pid := o.DaemonPID(); pid == killed {
			t.Error("the same daemon")
		}
	}
	if r := o.Do(nil, "stop", id); r.Code != 0 || !strings.Contains(r.Stderr, "saved 1 file") {
		t.Errorf("stop: %v", r)
	}
}

// With everything killed that keeps it, the sandbox is found again by the next command.
func TestKilledDaemonAndGuardAreReplaced(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach", "--", "idle")
	pid := o.DaemonPID()
	guards := childrenOf(t, pid)
	for _, p := range append(guards, pid) {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	harness.AwaitDeath(t, pid)
	if r := o.Do(nil, "stop", id); r.Code != 0 || !strings.Contains(r.Stderr, id+" stopped") {
		t.Errorf("stop: %v", r)
	}
	harness.NothingLeft(t, id)
}

// childrenOf are the children of all threads of a process.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", itoa(pid), "task", "*", "children"))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for field := range bytes.FieldsSeq(b) {
			out = append(out, atoi(t, string(field)))
		}
	}
	return out
}

// A sandbox whose data directory was removed can still be removed, and looking
// for it does not make the directory again.
func TestSandboxWithoutItsDataDirectoryIsRemoved(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	pid := o.DaemonPID()
	if err := os.RemoveAll(o.DataDir); err != nil {
		t.Fatal(err)
	}
	other := harness.NewOperator(t)
	if got := other.OK("ps", "-q"); !strings.Contains(got, id) {
		t.Errorf("ps says %q", got)
	}
	if r := other.Do(nil, "rm", id); r.Code == 0 || !strings.Contains(r.Stderr, "--force removes its container and volumes") {
		t.Errorf("rm: %v", r)
	}
	if _, err := os.Stat(o.DataDir); err == nil {
		t.Error("the directory was made again")
	}
	other.OK("rm", "--force", id)
	harness.NothingLeft(t, id)
	harness.AwaitDeath(t, pid) // its last sandbox has ended
}
