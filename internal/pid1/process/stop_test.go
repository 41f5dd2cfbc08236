package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() { parts["stop"] = stopPart }

// stopPart plays one scenario: it starts a script, waits until the script says that it
// is set up (a byte in the FIFO), stops everything, and checks that nothing is left.
func stopPart() error {
	_, reaper, err := becomeInit()
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
	stop.Scope = Scope{Self: os.Getpid(), Kept: reaper.Kept}
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
	for _, tc := range []struct {
		name, script string
		env          []string
		code         string
	}{
		{"the command gets its own signal", `trap 'exit 5' USR1; trap '' TERM; ` + ready + `while :; do sleep 0.01; done`, nil, "code 5"},
		{"others get TERM", `trap 'exit 5' USR1; (trap 'exit 0' TERM; ` + ready + `while :; do sleep 0.01; done) & while :; do wait; sleep 0.01; done`, nil, "code 5"},
		{"a stopped process is continued", `trap 'exit 6' USR1; sleep 1000 & kill -STOP $!; ` + ready + `while :; do sleep 0.01; done`, nil, "code 6"},
		{"sessions of their own", `trap 'exit 7' USR1; setsid sleep 1000 & setsid setsid sleep 1000 & ` + ready + `while :; do sleep 0.01; done`, nil, "code 7"},
		{"orphans", `trap 'exit 8' USR1; (sleep 1000 & sleep 1000 &) ; ` + ready + `while :; do sleep 0.01; done`, nil, "code 8"},
		// Each of a chain forks the next one and ends: most scans come upon none of them.
		{"a chain of processes that fork and end", `trap '' USR1; hop() { if [ $1 = 0 ]; then exec sleep 1000; fi; hop $(($1-1)) & }; hop 300 & ` + ready + `exit 9`, []string{"KILL=1"}, "code 9"},
		{"what ignores all is killed at the deadline", `trap '' USR1 TERM; (trap '' TERM; ` + ready + `while :; do sleep 1; done) & while :; do wait; sleep 0.01; done`, []string{"KILL=1"}, "code 137"},
		{"and at once in a hurry", `trap '' USR1 TERM; ` + ready + `while :; do sleep 1; done`, []string{"HURRY=1"}, "code 137"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fifo := filepath.Join(t.TempDir(), "ready")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			p := play(t, "stop", append(tc.env, "READY="+fifo, "SCRIPT="+tc.script)...)
			if got := p.line(); got != tc.code {
				t.Errorf("the command ended with %q, want %q", got, tc.code)
			}
			p.rest()
		})
	}
}
