package pid1

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
)

// TestHostileCommands: what a command does to its own container kills the command, and neither PID 1 nor
// the storage process: what is in the home is saved in the end, and the exit code says so.
func TestHostileCommands(t *testing.T) {
	const before = `echo kept > ~/before; `
	for _, tc := range []struct {
		name, script string
		options      []string
		code         string // docker wait's
		done         string // a line of the log that says that it has come to the worst; "" for its end
	}{
		// The whole of the container's limit is in use: bash says so each time it cannot fork. While it
		// tries again it keeps SIGTERM waiting, so the command itself is no shell.
		{"fork-bomb", before + `echo kept > ~/after; bomb() { bomb | bomb & }; bomb 2>&1 & exec sleep 1000`,
			[]string{"--pids-limit", "114"}, "143", "Resource temporarily unavailable"},
		// The kernel ends it, by the container's limit.
		{"memory-hog", before + `tail /dev/zero; echo kept > ~/after; exit 7`,
			[]string{"--memory", "256m", "--memory-swap", "256m"}, "7", ""},
		{"memory-hog-itself", before + `echo kept > ~/after; exec tail /dev/zero`,
			[]string{"--memory", "256m", "--memory-swap", "256m"}, "137", ""},
		// All at the same time, of a storage process that has much to send.
		{"memory-hogs", before + `echo kept > ~/after; for i in $(seq 200); do head -c 200000 /dev/urandom > ~/f$i; done; for i in 1 2 3 4 5; do tail /dev/zero & done; wait; exit 7`,
			[]string{"--memory", "256m", "--memory-swap", "256m"}, "7", ""},
		{"thread-bomb", before + `echo kept > ~/after; for i in $(seq 300); do sleep 1000 & done 2>&1 & exec sleep 1000`,
			[]string{"--pids-limit", "114"}, "143", "Resource temporarily unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := testbed.S3(t).Bucket(t)
			name := "matrx-e2e-" + tc.name
			contained(t, b, name, tc.options, "bash", "-c", tc.script)
			if tc.done != "" {
				eventually(t, "it does not come to the worst", func() bool {
					r := harness.Engine(t, nil, "logs", name)
					return strings.Contains(r.Stdout+r.Stderr, tc.done)
				})
				harness.EngineOK(t, "stop", "--time", "60", name)
			}
			if code := harness.EngineOK(t, "wait", name); code != tc.code {
				t.Errorf("exit code %s, want %s", code, tc.code)
			}
			prefix := "users/" + name + "/hot/"
			b.Want(prefix+"before", "kept\n")
			b.Want(prefix+"after", "kept\n")
			r := harness.Engine(t, nil, "logs", name)
			for _, bad := range []string{"fatal error", "goroutine ", "storage_died", "storage_failed"} {
				if strings.Contains(r.Stderr, bad) {
					t.Errorf("the log has %q", bad)
				}
			}
			if !strings.Contains(r.Stderr, `"event":"flushed"`) {
				t.Error("the log does not say that all was flushed")
			}
		})
	}
}
