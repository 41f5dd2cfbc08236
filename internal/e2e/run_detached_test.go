package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A detached sandbox outlives its program, is found by its label, entered as the agent, and
// stopped; its output stays.
func TestRunDetached(t *testing.T) {
	o := newOperator(t)
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	if l := o.list()[id]; l.State != "ready" || l.UserID != "u" || !l.Running {
		t.Errorf("ps says %+v", l)
	}
	if got := o.ok("exec", id, "--", "/standin", "do", "rights"); !strings.Contains(got, "Uid: 1000 1000 1000 1000") || !strings.Contains(got, "NoNewPrivs: 1") || !strings.Contains(got, "CapEff: 0000000000000000") {
		t.Errorf("exec'd with %s", got)
	}
	if got := o.ok("exec", id, "/standin", "do", "env"); !strings.Contains(got, "HOME=/home/agent") || !strings.Contains(got, "USER=agent") {
		t.Errorf("exec'd in %s", got)
	}
	if r := o.do(nil, "exec", id, "--", "/standin", "do", "exit", "9"); r.code != 9 {
		t.Errorf("exec'd exit 9: %v", r)
	}
	if r := o.do(strings.NewReader("typed"), "exec", "-i", id, "--", "/standin", "do", "cat"); r.stdout != "typed(5 bytes)\n" {
		t.Errorf("exec'd cat: %v", r)
	}
	if got := o.ok("logs", id); got != "idle" {
		t.Errorf("logs: %q", got)
	}
	if r := o.do(nil, "rm", id); r.code == 0 || !strings.Contains(r.stderr, "it runs") {
		t.Errorf("rm: %v", r)
	}
	if r := o.do(nil, "stop", id); r.code != 0 || !strings.Contains(r.stderr, id+" stopped, exit code 143") {
		t.Errorf("stop: %v", r)
	}
	nothingLeft(t, id)
	if l := o.list()[id]; l.SandboxID != "" {
		t.Errorf("ps still says %+v", l)
	}
	if l := o.list("-a")[id]; l.State != "stopped" {
		t.Errorf("ps -a says %+v", l)
	}
	if got := o.ok("logs", id); got != "idle" {
		t.Errorf("logs of what is gone: %q", got)
	}
	if r := o.do(nil, "exec", id, "true"); r.code != 125 || !strings.Contains(r.stderr, "has ended") {
		t.Errorf("exec in what is gone: %v", r)
	}
	if r := o.do(nil, "stop", "nobody"); r.code != 125 || !strings.Contains(r.stderr, "no such sandbox") {
		t.Errorf("stop of nobody: %v", r)
	}
}

// One that ends by itself is cleaned up without anybody's asking.
func TestRunDetachedEndsByItself(t *testing.T) {
	o := newOperator(t)
	r := o.run(strings.NewReader(""), "u", "--detach", "--sandbox-id", "short", "--", "write", "x")
	if r.code != 0 {
		t.Fatal(r)
	}
	if e := o.awaitEnded("short"); e.Outcome != datadir.Completed || !e.Removed {
		t.Errorf("ended as %+v", e)
	}
	nothingLeft(t, "short")
	if r := o.run(nil, "u", "-q", "--", "read"); r.stdout != "x\n" {
		t.Errorf("it has saved %v", r)
	}
}

// One that never gets ready is no success.
func TestRunDetachedWithoutAWorkspace(t *testing.T) {
	o := newOperator(t)
	first := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	r := o.run(nil, "u", "--detach", "--sandbox-id", "second")
	if r.code != 75 || r.stdout != "" || !strings.Contains(r.stderr, "in use by the sandbox "+first) {
		t.Errorf("it says %v", r)
	}
}

// The embedded S3 is killed under a running sandbox: what it held is there, the sandbox
// saves, and nobody had to do anything.
func TestRunKilledDaemon(t *testing.T) {
	o := newOperator(t)
	if r := o.run(nil, "u", "--", "write", "before"); r.code != 0 {
		t.Fatal(r)
	}
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	for range 2 {
		killed := o.daemonPID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitDeath(t, killed)
		// The stand-in asks until it is answered. As root, since the agent may not ask.
		if got := engineOK(t, "exec", "--user", "0", "sandbox-"+id, "/standin", "do", "ask", "GET", "hot/file"); got != "200 before" {
			t.Errorf("it reads %q", got)
		}
		if pid := o.daemonPID(); pid == killed {
			t.Error("the same daemon")
		}
	}
	if r := o.do(nil, "stop", id); r.code != 0 || !strings.Contains(r.stderr, "saved 1 file") {
		t.Errorf("stop: %v", r)
	}
}

// With everything killed that keeps it, the sandbox is found again by the next command.
func TestRunKilledDaemonAndGuard(t *testing.T) {
	o := newOperator(t)
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach", "--", "idle")
	pid := o.daemonPID()
	guards := childrenOf(t, pid)
	for _, p := range append(guards, pid) {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	awaitDeath(t, pid)
	if r := o.do(nil, "stop", id); r.code != 0 || !strings.Contains(r.stderr, id+" stopped") {
		t.Errorf("stop: %v", r)
	}
	nothingLeft(t, id)
}

// childrenOf are a process's, of whatever thread.
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

// A sandbox whose data directory somebody has removed can still be got rid of, and looking
// for it does not make the directory again.
func TestRunOrphan(t *testing.T) {
	o := newOperator(t)
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	pid := o.daemonPID()
	if err := os.RemoveAll(o.dataDir); err != nil {
		t.Fatal(err)
	}
	other := newOperator(t)
	if got := other.ok("ps", "-q"); !strings.Contains(got, id) {
		t.Errorf("ps says %q", got)
	}
	if r := other.do(nil, "rm", id); r.code == 0 || !strings.Contains(r.stderr, "--force removes its container and volumes") {
		t.Errorf("rm: %v", r)
	}
	if _, err := os.Stat(o.dataDir); err == nil {
		t.Error("the directory was made again")
	}
	other.ok("rm", "--force", id)
	nothingLeft(t, id)
	awaitDeath(t, pid) // nobody needs it any more
}
