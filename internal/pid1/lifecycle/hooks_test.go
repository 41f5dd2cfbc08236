package lifecycle

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func TestHooksRunInOrderAsTheAgent(t *testing.T) {
	r := start(t, scenario{
		command: sh("echo command"),
		hooks: map[string]string{
			"pre-start.d/20-b": "echo b $(id -u) $(id -g) $(pwd)",
			"pre-start.d/10-a": "echo a; cat", // its standard input is empty
			"pre-stop.d/10-c":  "echo c $HOME",
		},
	})
	r.ends(0)
	if got, want := r.out.String(), "a\nb 1000 1000 "+r.home+"\ncommand\nc "+r.home+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPreStartFailureIsFatal(t *testing.T) {
	for name, script := range map[string]string{"a code": "exit 3", "a signal": "kill -9 $$"} {
		t.Run(name, func(t *testing.T) {
			r := start(t, scenario{command: sh("echo command"), hooks: map[string]string{
				"pre-start.d/10-fails": script,
				"pre-start.d/20-later": "echo later",
			}})
			r.ends(contract.ExitHydrate)
			if got := r.out.String(); got != "" {
				t.Errorf("something ran after it: %q", got)
			}
			if e := r.await("hook_fatal", 1); !strings.Contains(e["error"].(string), "10-fails") {
				t.Errorf("the log does not name it: %v", e)
			}
			if len(r.events("ready")) > 0 {
				t.Error("the sandbox was ready")
			}
		})
	}
}

func TestPreStopFailureIsLogged(t *testing.T) {
	r := start(t, scenario{command: sh("exit 2"), hooks: map[string]string{
		"pre-stop.d/10-fails": "exit 3",
		"pre-stop.d/20-later": "echo later",
	}})
	r.ends(2)
	if got := r.out.String(); got != "later\n" {
		t.Errorf("%q", got)
	}
	if e := r.await("hook_failed", 1); !strings.Contains(e["error"].(string), "10-fails") {
		t.Errorf("the log does not name it: %v", e)
	}
}

// TestPreStopDeadline: a hook that does not end gets its share of the budget and no more;
// the one after it gets none.
func TestPreStopDeadline(t *testing.T) {
	r := start(t, scenario{command: sh("exit 2"), env: []string{"SHUTDOWN_TIMEOUT_SECONDS=3"}, hooks: map[string]string{
		"pre-stop.d/10-stays": "sleep 1000",
		"pre-stop.d/20-later": "echo later",
	}})
	r.ends(2)
	if got := r.out.String(); got != "" {
		t.Errorf("%q", got)
	}
	if e := r.await("hook_failed", 1); !strings.Contains(e["error"].(string), "10-stays") {
		t.Errorf("the log does not name it: %v", e)
	}
	r.await("hook_failed", 2)
}

func TestSIGTERMInPreStart(t *testing.T) {
	r := start(t, scenario{command: sh("echo command"), hooks: map[string]string{
		"pre-start.d/10-stays": "echo up; sleep 1000",
		"pre-stop.d/10-runs":   "echo stopped",
	}})
	r.says("up")
	r.signal(unix.SIGTERM)
	r.ends(143)
	if got := r.out.String(); got != "up\nstopped\n" {
		t.Errorf("%q", got)
	}
}

// TestSIGTERMInPreStop: one more request to stop does not wait for the hook, whose share
// is five seconds of an hour and more.
func TestSIGTERMInPreStop(t *testing.T) {
	r := start(t, scenario{command: sh("trap 'exit 8' TERM; echo up; while :; do sleep 0.01; done"), env: []string{"SHUTDOWN_TIMEOUT_SECONDS=7200"}, hooks: map[string]string{
		"pre-stop.d/10-stays": "echo hook; while :; do sleep 0.01; done",
		"pre-stop.d/20-later": "echo later",
	}})
	r.says("up")
	r.signal(unix.SIGTERM)
	r.says("hook")
	r.signal(unix.SIGTERM)
	r.ends(137) // it ends the drain at once
	if strings.Contains(r.out.String(), "later") {
		t.Errorf("%q", r.out)
	}
}

// TestWhatAHookLeavesRuns: until the drain, like everything else.
func TestWhatAHookLeavesRuns(t *testing.T) {
	r := start(t, scenario{command: sh(`kill -0 $(cat "$HOME/pid") && echo lives`), hooks: map[string]string{
		"pre-start.d/10-leaves": `sleep 1000 & echo $! > "$HOME/pid"`,
	}})
	r.ends(0)
	if got := r.out.String(); got != "lives\n" {
		t.Errorf("%q", got)
	}
}
