package pid1

import (
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cleansUp is a command that saves its work in a new process when it is told to end, as with git
// push or tar.
const cleansUp = `trap 'setsid -w sh -c "sleep 1; echo saved" && exit 5; exit 1' TERM; echo ready; while :; do sleep 0.01; done`

// TestCleanupOfCommandEnds: what a trap starts is sent nothing, so that the command ends with the
// code of its choice.
func TestCleanupOfCommandEnds(t *testing.T) {
	for name, alone := range map[string]bool{"as PID 1": false, "as a child": true} {
		t.Run(name, func(t *testing.T) {
			p := staging{init: ours(t), alone: alone, env: []string{"SHUTDOWN_TIMEOUT_SECONDS=7200"}, workload: []string{"sh", "-c", cleansUp}}.begin(t)
			p.says("ready")
			p.send(unix.SIGTERM)
			code, said := p.all()
			if code != 5 || !slices.Contains(said, "saved") {
				t.Errorf("exit code %d, output %q; want 5 and saved", code, said)
			}
		})
	}
}

// TestCleanupOfExecedSessionEnds: the session has no parent in the sandbox, which waits for its
// cleanup.
func TestCleanupOfExecedSessionEnds(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Fatalf("%v; install util-linux", err)
	}
	p := staging{init: ours(t), env: []string{"SHUTDOWN_TIMEOUT_SECONDS=7200"}, workload: []string{"sh", "-c", `echo ready; exec sleep 1000`}}.begin(t)
	p.says("ready")
	session := exec.Command("nsenter", "--target", fmt.Sprint(p.Process.Pid), "--pid", "--mount", "sh", "-c", cleansUp)
	session.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "ready" {
		t.Fatalf("the session says %q, %v", word, err)
	}
	p.send(unix.SIGTERM)
	if _, err := fmt.Fscan(out, &word); err != nil || word != "saved" {
		t.Errorf("the session says %q at its end, %v; want saved", word, err)
	}
	if err := session.Wait(); session.ProcessState.ExitCode() != 5 {
		t.Errorf("the session ends with %v, want 5", err)
	}
	if code := p.ends(); code != 143 {
		t.Errorf("exit code %d", code)
	}
}
