package pid1

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"golang.org/x/sys/unix"
)

// TestTenThousandOrphans: all at once, and none is left as a zombie.
func TestTenThousandOrphans(t *testing.T) {
	p := staging{init: ours(t), workload: []string{theActor(t), "orphans", "10000"}}.begin(t)
	p.says("reaped")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestNothingIsForwardedThatWasNotSent: while orphans end by the hundred and the garbage
// collector stops the runtime's threads all the time, the command gets what was sent to
// it, and nothing else.
func TestNothingIsForwardedThatWasNotSent(t *testing.T) {
	a := theActor(t)
	p := staging{
		init:     ours(t),
		workload: []string{"sh", "-c", a + " orphans 2000 > /dev/null & exec " + a + " signals"},
		env:      []string{"GOGC=1"},
	}.begin(t)
	p.says("ready")
	// The crowd is a child of the command, a zombie when it has seen its orphans reaped.
	awaitState(t, harness.Children(p.Process.Pid)[0], 'Z')
	p.send(64)
	p.says("signal 64")
	p.send(unix.SIGUSR2)
	p.says("signal 12")
	p.ends()
	got := slices.DeleteFunc(p.said(), func(line string) bool {
		return strings.HasPrefix(line, "ready") || line == fmt.Sprintf("signal %d", unix.SIGCHLD) // its own child's
	})
	if diff := cmp.Diff([]string{"signal 64", "signal 12"}, got); diff != "" {
		t.Errorf("-sent +received\n%s", diff)
	}
}

// nobodyRuns fails the test when a process executes the file, and ends it.
func nobodyRuns(t *testing.T, file string) {
	t.Helper()
	for again := true; again; { // a process that forks is faster than one look
		again = false
		exes, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			t.Fatal(err)
		}
		for _, exe := range exes {
			target, err := os.Readlink(exe)
			pid, _ := strconv.Atoi(strings.Split(exe, "/")[2])
			if err == nil && target == file {
				t.Errorf("process %d is left", pid)
				again = unix.Kill(pid, unix.SIGKILL) == nil
			}
		}
	}
}

// TestForkStorm: a process that forks as fast as it can and ignores every signal is gone at the
// end, all of it, without a PID namespace whose end would have ended it.
func TestForkStorm(t *testing.T) {
	a := theActor(t)
	for name, again := range map[string]bool{"at the deadline": false, "at a second SIGTERM": true} {
		t.Run(name, func(t *testing.T) {
			timeout := "SHUTDOWN_TIMEOUT_SECONDS=3"
			if again {
				timeout = "SHUTDOWN_TIMEOUT_SECONDS=7200"
			}
			log := harness.NewScreen()
			p := staging{init: ours(t), workload: []string{a, "storm"}, env: []string{timeout}, alone: true, log: log}.begin(t)
			p.says("ready")
			p.send(unix.SIGTERM)
			if again {
				log.Await(t, "stop_requested") // two that are pending are one
				p.send(unix.SIGTERM)
			}
			defer nobodyRuns(t, a)
			if code := p.ends(); code != 137 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestNoProcessIsLeft: what would outlive tini as a subreaper, in sessions of its own and with
// the output in its hands, has ended before sandbox-init does.
func TestNoProcessIsLeft(t *testing.T) {
	a := theActor(t)
	for name, script := range map[string]string{
		"a grandchild that holds the pipes": `A pause & exit 6`,
		"a session":                         `A session pause; exit 6`,
		"an orphan in a session":            `A orphan session pause; exit 6`,
		"one that ignores all signals":      `A session ignore; exit 6`,
	} {
		t.Run(name, func(t *testing.T) {
			p := staging{init: ours(t), alone: true, env: []string{"SHUTDOWN_TIMEOUT_SECONDS=3"},
				workload: []string{"sh", "-c", strings.ReplaceAll(script, "A ", a+" ")}}.begin(t)
			if code, _ := p.all(); code != 6 {
				t.Errorf("exit code %d", code)
			}
			nobodyRuns(t, a)
		})
	}
}

// TestStartedAsTheAgent: everything works but isolation, and a process that may not be
// signalled, root's in the same container, is named and not waited for.
func TestStartedAsTheAgent(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Fatalf("%v; install util-linux", err)
	}
	dir := agentsDir(t)
	if err := os.Chown(dir, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	log := harness.NewScreen()
	s := staging{init: ours(t), log: log, under: `exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"`,
		workload: []string{"sh", "-c", `grep -E '^(Uid|NoNewPrivs)' /proc/self/status; echo $AWS_SECRET_ACCESS_KEY $HOME; cat "$SANDBOX_RUN_DIR/state.json"; echo; trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done`},
		env: []string{"HOT_PATH=" + dir + "/home", "COLD_PATH=" + dir + "/cold", "SANDBOX_STATE_DIR=" + dir + "/state", "SANDBOX_RUN_DIR=" + dir + "/run", "SANDBOX_READY_FILE=" + dir + "/ready",
			"AWS_SECRET_ACCESS_KEY=hush", "SHUTDOWN_TIMEOUT_SECONDS=7200"}}
	p := s.begin(t)
	p.says("ready")
	roots := exec.Command("nsenter", "--target", fmt.Sprint(p.Process.Pid), "--pid", "--mount", "sleep", "1000")
	roots.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := roots.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = roots.Process.Kill(); _ = roots.Wait() }()
	eventually(t, "nsenter has not become sleep", func() bool {
		for _, pid := range harness.Children(roots.Process.Pid) {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if string(comm) == "sleep\n" {
				return true
			}
		}
		return false
	})
	p.send(unix.SIGTERM)
	if code := p.ends(); code != 5 {
		t.Errorf("exit code %d", code)
	}
	said := strings.Join(p.said(), "\n")
	for _, want := range []string{"Uid:\t1000", "NoNewPrivs:\t1", `"isolation":"none"`, `"cold":"none"`, dir + "/home"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in\n%s", want, said)
		}
	}
	if strings.Contains(said, "hush") {
		t.Error("the secret is in the command's environment")
	}
	if !strings.Contains(log.String(), `"event":"drain_eperm"`) || !strings.Contains(log.String(), `"comm":"sleep"`) {
		t.Error("the log does not name root's process")
	}
}

// TestStartedAsAnotherUser: nothing is started.
func TestStartedAsAnotherUser(t *testing.T) {
	p := staging{init: ours(t), alone: true, under: `exec setpriv --reuid 1234 --regid 1234 --clear-groups "$@"`, workload: []string{"echo", "started"}}.begin(t)
	if code, lines := p.all(); code != 78 || len(lines) > 0 {
		t.Errorf("exit code %d, output %q", code, lines)
	}
}

// TestRootWithoutRights: each capability that PID 1 needs, and none besides.
func TestRootWithoutRights(t *testing.T) {
	need := []string{"setuid", "setgid", "setpcap", "kill", "chown", "fowner", "dac_override"}
	under := func(caps []string) string {
		keep := ""
		for _, c := range caps {
			keep += ",+" + c
		}
		// Root's permitted set becomes what the bounding set allows at the next execve.
		return `mount --make-rprivate / 2>/dev/null; exec setpriv --inh-caps -all --bounding-set -all` + keep + ` "$@"`
	}
	p := staging{init: ours(t), alone: true, under: under(need), workload: []string{"true"}}.begin(t)
	if code := p.ends(); code != 0 {
		t.Errorf("with all that it needs: exit code %d", code)
	}
	for i, missing := range need {
		p := staging{init: ours(t), alone: true, under: under(slices.Delete(slices.Clone(need), i, i+1)), workload: []string{"echo", "started"}}.begin(t)
		if code, lines := p.all(); code != 78 || len(lines) > 0 {
			t.Errorf("without %s: exit code %d, output %q", missing, code, lines)
		}
	}
}
