package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// TestLimitsStopABombAndTheHomeIsSaved: what takes all that it can get comes to its limit, and what was in
// the home is in the next sandbox of that user.
func TestLimitsStopABombAndTheHomeIsSaved(t *testing.T) {
	const keep = `echo kept >~/file; `
	for _, tc := range []struct {
		name, script string
		flags        []string
		code         int
		says         []string // on the error stream
		prints       string   // on standard output or the error stream
	}{
		{name: "fork-bomb", flags: []string{"--processes", "50", "--timeout", "20"},
			// A shell that waits to fork keeps SIGTERM waiting, so the command is none.
			script: `bomb() { bomb | bomb & }; bomb & exec sleep 1000`,
			code:   143, says: []string{"fork-bomb timeout, exit code 143: its time limit of 20s has passed"}, prints: "Resource temporarily unavailable"},
		{name: "memory-bomb", flags: []string{"--memory", "256m"}, script: `tail /dev/zero; echo "tail: $?"; exit 7`,
			code: 7, says: []string{"memory-bomb completed, exit code 7: the memory limit of 256 MB ended "}, prints: "tail: 137"},
		{name: "memory-bomb-itself", flags: []string{"--memory", "256m"}, script: `exec tail /dev/zero`,
			code: 137, says: []string{"memory-bomb-itself out of memory, exit code 137: the memory limit of 256 MB ended "}},
		{name: "cpu-spinner", flags: []string{"--cpus", "0.5", "--timeout", "3s"}, script: `while :; do :; done`,
			code: 143, says: []string{"the time limit of 3s has passed", "cpu-spinner timeout, exit code 143"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t)
			r := o.InBase("u", append(tc.flags, "--sandbox-id", tc.name, "--", "bash", "-c", keep+tc.script)...)
			if r.Code != tc.code {
				t.Errorf("exit code %d, want %d: %s", r.Code, tc.code, tail(r.Stderr))
			}
			for _, want := range tc.says {
				if !strings.Contains(r.Stderr, want) {
					t.Errorf("it does not say %q: %s", want, tail(r.Stderr))
				}
			}
			if !strings.Contains(r.Stdout+r.Stderr, tc.prints) {
				t.Errorf("it does not come to its limit: %s", tail(r.Stdout+r.Stderr))
			}
			harness.NothingLeft(t, tc.name)
			if r := o.InBase("u", "-q", "--", "cat", "/home/agent/file"); r.Stdout != "kept\n" {
				t.Errorf("the next one finds %v", r)
			}
		})
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// What the workload finds is what was asked for, or what the image says.
func TestLimitsInsideAreThoseAskedFor(t *testing.T) {
	o := newOperator(t)
	const look = `cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
ulimit -n; ulimit -Hn; df -B1 --output=size /tmp /dev/shm | tail -n 2 | tr -d ' '`
	r := o.InBase("u", "-q", "--memory", "128m", "--processes", "20", "--open-files", "1024", "--tmp-size", "32m", "--shm-size", "16m", "--", "bash", "-c", look)
	if want := "108\n134217728\n1024\n1024\n33554432\n16777216\n"; r.Stdout != want {
		t.Errorf("asked for: %v, want %q", r, want)
	}
	// images/base/image.yaml: 512 MB, 50 processes. What sandbox-init itself needs, 88, comes on top.
	r = o.InBase("u", "-q", "--", "bash", "-c", look)
	if want := "138\n536870912\n"; !strings.HasPrefix(r.Stdout, want) || !strings.HasSuffix(r.Stdout, "\n67108864\n") {
		t.Errorf("the image's: %v, want %q", r, want)
	}
	if r := o.InBase("u", "--open-files", "1048576", "--", "sh", "-c", "ulimit -n"); r.Stdout != "1048576\n" && !strings.Contains(r.Stderr, "ask for fewer with --open-files") {
		t.Errorf("more open files than the engine has: %v", r)
	}
	// A file system that is full is an error of the writer alone.
	if r := o.InBase("u", "-q", "--tmp-size", "1m", "--", "bash", "-c", `head -c 4M /dev/zero >/tmp/x || echo full`); r.Code != 0 || r.Stdout != "full\n" {
		t.Errorf("/tmp: %v", r)
	}
}

// A detached sandbox is held to its time by the daemon, without a client that waits.
func TestDetachedSandboxIsHeldToItsTimeout(t *testing.T) {
	o := newOperator(t)
	o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "left", "--detach", "--timeout", "3s")
	if e := o.AwaitEnded("left"); e.Outcome != "timeout" || e.Kept || !strings.Contains(e.Reason, "3s") {
		t.Errorf("it ended %+v", e)
	}
	harness.NothingLeft(t, "left")
}

// The operator's ceiling holds for what is asked for, and for what an image asks by default.
func TestNothingExceedsTheCeiling(t *testing.T) {
	o := newOperator(t)
	config := t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "matrx-sandbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(config, "matrx-sandbox", "limits.yaml")
	if err := os.WriteFile(file, []byte("ceiling:\n  memory: 100m\n  timeout: 1h\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Env = []string{"XDG_CONFIG_HOME=" + config}
	r := o.Run(nil, "u", "--memory", "1g", "--timeout", "none", "--processes", "many", "--", "true")
	for _, want := range []string{"--memory is 1g; this machine's ceiling is 100m", "--timeout is none", `--processes is "many"`, "limits.yaml"} {
		if r.Code != 125 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v does not say %s", r, want)
		}
	}
	if l := o.List("-a"); len(l) != 0 {
		t.Errorf("it has left %v", l)
	}
	if r := o.Run(nil, "u", "--sandbox-id", "lowered", "--", "true"); r.Code != 0 {
		t.Fatal(r)
	}
	if l := o.Record("lowered").Limits; l.Memory != 100<<20 || l.Timeout.String() != "1h0m0s" {
		t.Errorf("its limits are %+v", l)
	}
	if err := os.WriteFile(file, []byte("ceiling: {memory: lots}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := o.Run(nil, "u", "--", "true"); r.Code != 125 || !strings.Contains(r.Stderr, file) {
		t.Errorf("a ceiling that cannot be read: %v", r)
	}
}
