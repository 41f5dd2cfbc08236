package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func TestExitCodes(t *testing.T) {
	noExec := filepath.Join(t.TempDir(), "no-exec")
	if err := os.WriteFile(noExec, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		command []string
		code    int
	}{
		{"success", []string{"true"}, 0},
		{"a code", sh("exit 42"), 42},
		{"the last code", sh("exit 255"), 255},
		{"a code of our own is the command's all the same", sh("exit 75"), 75},
		{"a signal", sh("kill -9 $$"), 137},
		{"a signal with a core", sh("ulimit -c 0; kill -SEGV $$"), 139},
		{"not found", []string{"no-such-command"}, 127},
		{"not found by its path", []string{"/no/such/command"}, 127},
		{"a directory of the path is a file", []string{"/etc/passwd/x"}, 127},
		{"not executable", []string{noExec}, 126},
		{"a directory", []string{"/tmp"}, 126},
		{"an empty name", []string{""}, 127},
		{"the command ends before its orphans", sh("(sleep 100 &); exit 3"), 3},
		{"orphans with codes of their own", sh("for i in 1 2 3 4 5 6 7 8 9; do (exit $i) & done; exit 77"), 77},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, scenario{command: tc.command})
			r.ends(tc.code)
			if r.ready() {
				t.Error("it still looks ready")
			}
			if st := r.state(); st.Phase != contract.PhaseExit || st.Ready || st.WorkloadPID != 0 {
				t.Errorf("state %+v", st)
			}
		})
	}
}

// TestWorkloadRights: what the command has and has not when the sandbox is started as root.
func TestWorkloadRights(t *testing.T) {
	r := start(t, scenario{
		command: sh(`grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Sig(Blk|Ign))' /proc/self/status; umask; env; echo "group $(ps -o pgid= -p $$) of $$"; echo "oom $(cat /proc/self/oom_score_adj)"; cat ready-now 2>/dev/null; test -e "$DIR/ready" && echo ready`),
		env:     []string{"AWS_SECRET_ACCESS_KEY=hush", "S3_X_SECRET=hush", "A_CREDENTIALS_B=hush", "HOME=/root", "USER=root", "KEPT=yes"},
	})
	r.ends(0)
	out := r.out.String()
	for _, want := range []string{
		"Uid:\t1000\t1000\t1000\t1000\n", "Gid:\t1000\t1000\t1000\t1000\n", "Groups:\t \n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n", "SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n",
		"0022\n", "HOME=" + r.home + "\n", "USER=agent\n", "LOGNAME=agent\n", "KEPT=yes\n", "\nready\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(out, "hush") {
		t.Error("a secret is there")
	}
	if t.Failed() {
		t.Log(out)
	}
	// The machine's own may be among them.
	if got := r.await("environment_withheld", 1)["variables"].(string); !strings.HasSuffix(got, "AWS_SECRET_ACCESS_KEY S3_X_SECRET A_CREDENTIALS_B") {
		t.Errorf("withheld %v", got)
	}
}

// TestInheritedDispositions: what sandbox-init was started with does not reach the command.
func TestInheritedDispositions(t *testing.T) {
	r := start(t, scenario{
		under:   `trap '' HUP INT USR1 TSTP PIPE; exec "$0" "$@"`,
		command: []string{"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"},
	})
	r.ends(0)
	if got := r.out.String(); got != "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" {
		t.Errorf("%s", got)
	}
}

func TestSIGTERM(t *testing.T) {
	const loop = `echo $$ > "$DIR/home/pid"; echo up; while :; do sleep 0.01; done`
	for _, tc := range []struct {
		name, script string
		signal       syscall.Signal
		env          []string
		code         int
	}{
		{"ends the command", "trap 'exit 5' TERM; " + loop, unix.SIGTERM, nil, 5},
		{"which may die of it", loop, unix.SIGTERM, nil, 143},
		{"SIGINT is the same request", "trap '' INT; trap 'exit 6' TERM; " + loop, unix.SIGINT, nil, 6},
		{"with a signal of the command's choice", "trap 'exit 7' USR2; trap '' TERM; " + loop, unix.SIGTERM, []string{"WORKLOAD_STOP_SIGNAL=USR2"}, 7},
		{"that it ignores", "trap '' TERM; " + loop, unix.SIGTERM, []string{"SHUTDOWN_TIMEOUT_SECONDS=1"}, 137},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, scenario{command: sh(tc.script), env: tc.env})
			r.says("up")
			r.signal(tc.signal)
			r.ends(tc.code)
			if r.ready() {
				t.Error("it still looks ready")
			}
		})
	}
}

func TestIdle(t *testing.T) {
	r := start(t, scenario{})
	r.await("ready", 1)
	if st := r.state(); st.Phase != contract.PhaseRun || !st.Ready || st.WorkloadPID != 0 || st.Storage != contract.StorageNone || st.Isolation != contract.IsolationFull || st.Cold != contract.ColdNone || st.ReadyAt.IsZero() {
		t.Errorf("state %+v", st)
	}
	if !r.ready() {
		t.Error("it does not look ready")
	}
	r.await("storage_none", 1) // loudly
	r.signal(unix.SIGTERM)
	r.ends(0)
}

// TestTwoSIGTERMs: the second does what the deadline, an hour away, would do.
func TestTwoSIGTERMs(t *testing.T) {
	r := start(t, scenario{command: sh(`trap '' TERM; echo up; while :; do sleep 0.01; done`), env: []string{"SHUTDOWN_TIMEOUT_SECONDS=10800"}})
	r.says("up")
	r.signal(unix.SIGTERM)
	r.await("stop_requested", 1)
	r.signal(unix.SIGTERM)
	r.ends(137)
}

// TestForwarding: what is no request to stop goes to the command, and to it alone.
func TestForwarding(t *testing.T) {
	r := start(t, scenario{command: sh(`trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo winch' WINCH; trap 'exit 9' RTMIN+3 2>/dev/null || trap 'exit 9' 37
(trap 'echo wrong' USR1; while :; do sleep 0.01; done) & echo up; while :; do wait; sleep 0.01; done`)})
	r.says("up")
	for i, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGHUP, unix.SIGWINCH, 37} {
		r.signal(sig)
		if i < 3 {
			r.says([]string{"usr1", "hup", "winch"}[i])
		}
	}
	r.ends(9)
	if strings.Contains(r.out.String(), "wrong") {
		t.Error("another process got the signal")
	}
}

// TestClosedLog: a log without a reader stops nothing.
func TestClosedLog(t *testing.T) {
	gone, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	defer w.Close()
	full, fullW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	defer fullW.Close()
	if err := fill(fullW); err != nil {
		t.Fatal(err)
	}
	for name, stderr := range map[string]*os.File{"gone": w, "full": fullW} {
		t.Run(name, func(t *testing.T) {
			r := start(t, scenario{command: sh("echo out; exit 4"), stderr: stderr})
			r.ends(4)
			if got := r.out.String(); got != "out\n" {
				t.Errorf("output %q", got)
			}
		})
	}
}

// fill fills a pipe until it takes no more.
func fill(w *os.File) error {
	fd := int(w.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	for {
		if _, err := unix.Write(fd, make([]byte, 4096)); err != nil {
			break
		}
	}
	for {
		if _, err := unix.Write(fd, []byte{0}); err != nil {
			break
		}
	}
	return unix.SetNonblock(fd, false)
}

// TestWrongConfiguration: all mistakes in one line, and nothing is started.
func TestWrongConfiguration(t *testing.T) {
	r := start(t, scenario{command: sh("echo started"), env: []string{"SHUTDOWN_TIMEOUT_SECONDS=soon", "HOT_PATH=home"}})
	r.ends(contract.ExitConfig)
	if log := fmt.Sprint(r.log()); !strings.Contains(log, "SHUTDOWN_TIMEOUT_SECONDS") || !strings.Contains(log, "HOT_PATH") || r.out.String() != "" {
		t.Errorf("log %s, output %s", log, r.out)
	}
}
