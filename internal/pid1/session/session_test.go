package session

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// run starts a session as the given user and returns its output and exit code.
func run(t *testing.T, uid uint32, dir string, command ...string) (string, int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: a session begins as root")
	}
	reachable, err := os.MkdirTemp("", "session")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(reachable) })
	if err := os.Chmod(reachable, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(reachable, "sandbox-init")
	// Not written by this process: a child that is forked meanwhile would hold it open for writing.
	if out, err := exec.Command("install", "-m", "755", testbed.Binary(t, "cmd/sandbox-init"), program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// An engine may leave signals ignored.
	cmd := exec.Command("bash", append([]string{"-c", `trap "" HUP RTMAX; exec "$0" "$@"`, program, contract.SessionRole}, command...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{4}}}
	if uid != 0 {
		cmd.SysProcAttr.Credential.Groups = nil
	}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestSessionHasRightsOfCommand(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	score := map[string]string{"0\n": "500\n"}[string(own)]
	if score == "" {
		score = string(own) // raised already
	}
	const none = "\t0000000000000000\n"
	for _, tc := range []struct {
		name string
		uid  uint32
		want []string
	}{
		{"begun as root", 0, []string{"Uid:\t1000\t1000\t1000\t1000\n", "Gid:\t1000\t1000\t1000\t1000\n", "Groups:\t \n", "NoNewPrivs:\t1\n",
			"CapInh:" + none, "CapPrm:" + none, "CapEff:" + none, "CapBnd:" + none, "CapAmb:" + none, "SigBlk:" + none, "SigIgn:" + none}},
		{"begun as the agent", 1000, []string{"Uid:\t1000\t1000\t1000\t1000\n", "NoNewPrivs:\t1\n", "CapEff:" + none}},
	} {
		out, code := run(t, tc.uid, "/", "cat", "/proc/self/status", "/proc/self/oom_score_adj")
		for _, want := range append(tc.want, "\n"+score) {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: code %d, %q is missing in\n%s", tc.name, code, want, out)
			}
		}
	}
}

func TestSessionThatCannotBegin(t *testing.T) {
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, dir string
		command   []string
		code      int
		says      string
	}{
		{"no such command", "/", []string{"no-such-command"}, contract.ExitNotFound, `cannot execute "no-such-command"`},
		{"no program", "/", []string{"/etc/passwd"}, contract.ExitNotExecutable, `cannot execute "/etc/passwd"`},
		{"no command", "/", nil, contract.ExitNotExecutable, "needs a command"},
		{"a directory of root", closed, []string{"true"}, contract.ExitNotExecutable, "permission denied"},
	} {
		if out, code := run(t, 0, tc.dir, tc.command...); code != tc.code || !strings.Contains(out, tc.says) {
			t.Errorf("%s: code %d, want %d: %s", tc.name, code, tc.code, out)
		}
	}
}
