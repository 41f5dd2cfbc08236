package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

func init() { parts["stop"] = stopPart }

// stopPart plays one scenario: it starts a script, waits until the script says that it
// is set up (a byte in the FIFO), stops everything, and checks that nothing is left.
func stopPart() error {
	reaper, err := becomeInit()
	if err != nil {
		return err
	}
	spawner, err := reaper.NewSpawner(nil)
	if err != nil {
		return err
	}
	kept := shell("exec sleep 1000")
	kept.Kept = true
	storage, err := spawner.Start(kept)
	if err != nil {
		return err
	}
	command, err := spawner.Start(shell(os.Getenv("SCRIPT")))
	if err != nil {
		return err
	}
	ready, err := os.Open(os.Getenv("READY")) // waits for the writer
	if err != nil {
		return err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil && err != io.EOF {
		return err
	}
	stop, err := NewStop()
	if err != nil {
		return err
	}
	defer stop.Close()
	stop.Scope = Scope{Self: os.Getpid(), Kept: reaper.Kept, Spared: reaper.Spared}
	stop.Log = slog.New(slog.DiscardHandler)
	begin := time.Now()
	stop.Now = func() int64 { return int64(time.Since(begin)) }
	stop.KillAt = int64(time.Hour)
	if os.Getenv("KILL") != "" {
		stop.KillAt = int64(50 * time.Millisecond)
	}
	stop.Patience = int64(time.Minute)
	stop.Command, stop.Signal = command, unix.SIGUSR1
	if os.Getenv("HURRY") != "" {
		stop.Hurry()
	}
	left, err := stop.Run()
	if err != nil || len(left) != 0 {
		return fmt.Errorf("left: %v, %w", Names(left), err)
	}
	select {
	case status := <-storage.Done:
		return fmt.Errorf("what is to be kept has ended: %d", status.Code())
	default:
	}
	fmt.Println("code", (<-command.Done).Code())
	if err := storage.Signal(unix.SIGKILL); err != nil {
		return err
	}
	<-storage.Done
	if reaper.HasChildren() {
		return fmt.Errorf("processes are left")
	}
	return nil
}

// TestStop: the deadline is an hour away where KILL is not given, so that each scenario
// ends only if its processes were told in the way that they listen to.
func TestStop(t *testing.T) {
	const ready = `echo > "$READY"; `
	// A scan follows the end of each of the others, and finds what the cleanup runs just then.
	const cleanup = `sleep 0.2 && setsid sleep 0.2 && sleep 0.2`
	const others = `for i in 1 2 3 4 5; do (trap "" TERM; exec sleep 0.$i) & done; `
	for _, tc := range []struct {
		name, script string
		env          []string
		code         string
	}{
		{"the command gets its own signal", `trap 'exit 5' USR1; trap '' TERM; ` + ready + `while :; do sleep 0.01; done`, nil, "code 5"},
		{"others get TERM", `trap 'exit 5' USR1; (trap 'exit 0' TERM; ` + ready + `while :; do sleep 0.01; done) & while :; do wait; sleep 0.01; done`, nil, "code 5"},
		{"a stopped process is continued", `trap 'exit 6' USR1; sleep 1000 & kill -STOP $!; ` + ready + `while :; do sleep 0.01; done`, nil, "code 6"},
		// The second setsid forks: its child has to be there before the stop begins, else it counts as a cleanup.
		{"sessions of their own", `trap 'exit 7' USR1; for n in "setsid" "setsid setsid"; do $n sh -c ': > "$READY.$0"; exec sleep 1000' "$n" & done; ` +
			`until [ -e "$READY.setsid" ] && [ -e "$READY.setsid setsid" ]; do sleep 0.01; done; ` + ready + `while :; do sleep 0.01; done`, nil, "code 7"},
		{"orphans", `trap 'exit 8' USR1; (sleep 1000 & sleep 1000 &) ; ` + ready + `while :; do sleep 0.01; done`, nil, "code 8"},
		// Each of a chain forks the next one and ends: most scans come upon none of them.
		{"a chain of processes that fork and end", `trap '' USR1; hop() { if [ $1 = 0 ]; then exec sleep 1000; fi; hop $(($1-1)) & }; hop 300 & ` + ready + `exit 9`, []string{"KILL=1"}, "code 9"},
		{"a cleanup runs to its end", `trap '` + cleanup + ` && exit 5; exit 1' USR1; ` + others + ready + `while :; do sleep 0.01; done`, nil, "code 5"},
		{"the cleanup of another session runs to its end", `trap : USR1; setsid sh -c 'trap "` + cleanup + ` && exit 5; exit 1" TERM; ` + others + ready + `while :; do sleep 0.01; done' & code=200; while [ $code -gt 128 ]; do wait $!; code=$?; done; exit $code`, nil, "code 5"},
		{"a cleanup that does not end is killed at the deadline", `trap 'setsid sleep 1000 & wait' USR1; ` + ready + `while :; do sleep 0.01; done`, []string{"KILL=1"}, "code 137"},
		{"a running process gets no SIGCONT", `trap 'echo continued' CONT; trap 'end=5' USR1; ` + ready + `while [ -z "$end" ]; do sleep 0.01; done; exit $end`, nil, "code 5"},
		{"what ignores all is killed at the deadline", `trap '' USR1 TERM; (trap '' TERM; ` + ready + `while :; do sleep 1; done) & while :; do wait; sleep 0.01; done`, []string{"KILL=1"}, "code 137"},
		{"and at once in a hurry", `trap '' USR1 TERM; ` + ready + `while :; do sleep 1; done`, []string{"HURRY=1"}, "code 137"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fifo := filepath.Join(t.TempDir(), "ready")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			p := testpart.Play(t, "stop", append(tc.env, "READY="+fifo, "SCRIPT="+tc.script)...)
			if got := p.Line(); got != tc.code {
				t.Errorf("the command ended with %q, want %q", got, tc.code)
			}
			if rest := p.Rest(); len(rest) > 0 {
				t.Errorf("it says %q", rest)
			}
		})
	}
}

// begun starts a shell that a stop may signal; its end is awaited with the test's.
func begun(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

// plainStop is a Stop whose deadline never comes.
func plainStop(t *testing.T) *Stop {
	t.Helper()
	stop, err := NewStop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop.Close)
	stop.Log = slog.New(slog.DiscardHandler)
	return stop
}

// TestStopContinuesProcessThatIsStoppedBetweenScanAndSignal: it was running in the first scan.
func TestStopContinuesProcessThatIsStoppedBetweenScanAndSignal(t *testing.T) {
	cmd := begun(t, `trap 'exit 5' TERM; kill -STOP $$; exit 6`)
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatalf("%v, %v", ws, err)
	}
	stopped, ok := stat(cmd.Process.Pid)
	if !ok || !stopped.Stopped() {
		t.Fatalf("%+v, %v", stopped, ok)
	}
	running := stopped
	running.State = 'S'
	stop := plainStop(t)
	if waiting, again := stop.signal([]Proc{running}); waiting != 1 || !again {
		t.Errorf("waits for %d processes, scans again: %v", waiting, again)
	}
	stop.began = Ticks()
	stop.signal([]Proc{stopped})
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("it ends with %v, want its handler's 5", err)
	}
}

// TestStopSignalsProcessThatTheFirstScanMissed: it started before the scan, and its parent ended
// in the middle of it.
func TestStopSignalsProcessThatTheFirstScanMissed(t *testing.T) {
	cmd := begun(t, `exec sleep 1000`)
	p, ok := stat(cmd.Process.Pid)
	if !ok {
		t.Fatal("it has ended")
	}
	stop := plainStop(t)
	stop.signal(nil)
	stop.began = p.Start // in the same tick: it may be a cleanup
	if waiting, again := stop.signal([]Proc{p}); waiting != 1 || again {
		t.Errorf("waits for %d processes, scans again: %v", waiting, again)
	}
	if stop.known[identity{p.PID, p.Start}].told {
		t.Error("a process that started when the signals were sent is signalled")
	}
	stop.began++
	stop.signal([]Proc{p})
	err := cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGTERM {
		t.Errorf("it ends with %v, want SIGTERM", err)
	}
}
