package access

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/testbed"
)

// mountedOf are the mounts that lie in the operator's data directory.
func (o *operator) mountedOf() (out []string) {
	o.T.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		o.T.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, o.DataDir) {
			out = append(out, line)
		}
	}
	return out
}

// imageOf is a sandbox's image, as a file.
func (o *operator) imageOf(id string) os.FileInfo {
	o.T.Helper()
	fi, err := os.Stat(filepath.Join(o.SandboxDir(id).Disk().Path(), "image"))
	if err != nil {
		o.T.Fatal(err)
	}
	return fi
}

// noDisk wants a sandbox to have none any more.
func (o *operator) noDisk(id string) {
	o.T.Helper()
	if m := o.mountedOf(); len(m) != 0 {
		o.T.Errorf("mounted are %q", m)
	}
	if _, err := os.Lstat(o.SandboxDir(id).Disk().Path()); !errors.Is(err, fs.ErrNotExist) {
		o.T.Errorf("its image is still there: %v", err)
	}
}

// TestHomeOnAFullDiskIsSaved: a workload that writes without end comes to the limit, and what was whole
// before, and what was written last, is in the next sandbox of that user.
func TestHomeOnAFullDiskIsSaved(t *testing.T) {
	for _, tc := range []struct{ name, size, script, prints, next, finds string }{
		{"bytes", "64m", `head -c 1G /dev/zero >~/fill; stat -c %s ~/fill >&2; exit 7`, "No space left on device",
			`[ $(stat -c %s ~/fill) -gt 40000000 ] && echo filled`, "filled\n"},
		{"inodes", "32m", `mkdir ~/d; i=0; while : 2>/dev/null >~/d/$i; do i=$((i+1)); done; touch ~/d/more; echo $i >/dev/shm/n; cat /dev/shm/n; exit 7`, "No space left on device",
			`[ $(ls ~/d | wc -l) -gt 4000 ] && echo filled`, "filled\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t)
			id := "full-" + tc.name
			r := o.InBase("u", "--disk", tc.size, "--sandbox-id", id, "--", "bash", "-c", "echo kept >~/file; "+tc.script)
			if r.Code != 7 || !strings.Contains(r.Stderr, tc.prints) || !strings.Contains(r.Stderr, id+" completed, exit code 7") {
				t.Errorf("it ended %d: %s", r.Code, tail(r.Stderr))
			}
			harness.NothingLeft(t, id)
			o.noDisk(id)
			if r := o.InBase("u", "-q", "--", "bash", "-c", "cat ~/file; "+tc.next); r.Stdout != "kept\n"+tc.finds {
				t.Errorf("the next one finds %v", r)
			}
		})
	}
}

// inspectedDisk is what inspect tells of it.
type inspectedDisk struct {
	Limit  int64  `json:"limit_bytes"`
	Used   int64  `json:"used_bytes"`
	Free   int64  `json:"free_bytes"`
	Reason string `json:"reason"`
}

func (o *operator) inspectDisk(id string) inspectedDisk {
	o.T.Helper()
	var got struct {
		Disk inspectedDisk `json:"disk"`
	}
	if err := json.Unmarshal([]byte(o.OK("inspect", "--json", id)), &got); err != nil {
		o.T.Fatal(err)
	}
	return got.Disk
}

// A disk is there for as long as its sandbox, which sees an empty home on it, and neither
// the host's paths nor a way to devices; inspect tells how full it is.
func TestDiskGoesWithItsSandbox(t *testing.T) {
	o := newOperator(t)
	const id = "disk-life"
	base := []string{"run", "--image", "matrx-sandbox-base:latest", "--user-id", "u"}
	o.OK(append(base, "--detach", "--sandbox-id", id, "--disk", "64m")...)
	file := o.imageOf(id)
	if m := o.mountedOf(); len(m) != 1 || testbed.LoopOf(t, file) == "" {
		t.Errorf("mounted are %q", m)
	}
	before := o.inspectDisk(id)
	if before.Limit != 64<<20 || before.Used == 0 || before.Free < 40<<20 {
		t.Errorf("inspect tells %+v", before)
	}
	// As in a directory: the mode and owner are the image's.
	got := o.OK("exec", id, "--", "bash", "-c", `stat -c '%a %U:%G' ~ /var/lib/sandbox; ls -A ~; stat -f -c %T ~; cat /sys/block/loop*/loop/backing_file /proc/mounts | grep -c disk-life
head -c 10M /dev/zero >~/some; sync -f ~`)
	if want := "755 agent:agent\n700 root:root\next2/ext3\n0"; got != want {
		t.Errorf("inside:\n%s\nwant\n%s", got, want)
	}
	after := o.inspectDisk(id)
	if after.Used < before.Used+10<<20 || after.Free > before.Free-10<<20 {
		t.Errorf("after 10 MB inspect tells %+v, and %+v before", after, before)
	}
	if text := o.OK("inspect", id); !strings.Contains(text, "disk: 64 MB (") || !strings.Contains(text, " MB free for the workload)") {
		t.Errorf("inspect prints\n%s", text)
	}
	o.OK("stop", id)
	harness.NothingLeft(t, id)
	o.noDisk(id)
	testbed.AwaitNoLoop(t, file)
	if text := o.OK("inspect", id); !strings.Contains(text, "disk: 64 MB\n") {
		t.Errorf("afterwards inspect prints\n%s", text)
	}
	// Its home, without a limit; and the other way round.
	if r := o.Do(nil, append(base, "-q", "--", "sh", "-c", "stat -c %s ~/some; echo more >~/more")...); r.Code != 0 || r.Stdout != "10485760\n" {
		t.Errorf("the next one: %v", r)
	}
	if r := o.Do(nil, append(base, "-q", "--disk", "32m", "--", "sh", "-c", "cat ~/more")...); r.Code != 0 || r.Stdout != "more\n" {
		t.Errorf("one with a disk again: %v", r)
	}
	// One that is too small for it says so, and leaves the workspace as it is.
	o.OK(append(base, "-q", "--", "sh", "-c", "head -c 40M /dev/zero >~/some")...)
	if r := o.Do(nil, append(base, "--disk", "32m", "--", "true")...); r.Code != contract.ExitHydrate || !strings.Contains(r.Stderr, "the disk of /home/agent") {
		t.Errorf("a home of 40 MB on 32: %v", r)
	}
	if r := o.Do(nil, append(base, "-q", "--", "sh", "-c", "stat -c %s ~/some")...); r.Stdout != "41943040\n" {
		t.Errorf("the workspace afterwards: %v", r)
	}
}

// What a killed sandbox had not saved, on a disk with no room left, is saved from it, by name,
// and not as a conflict: although it is mounted from another device then.
func TestFullDiskIsSavedAfterAKill(t *testing.T) {
	o := newOperator(t)
	const id = "disk-kill"
	o.OK("run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach", "--sandbox-id", id, "--disk", "32m",
		"-e", "HOT_SYNC_QUIET_MS=60000", "-e", "HOT_SYNC_MAX_STALENESS_SECONDS=3600")
	o.OK("exec", id, "--", "sh", "-c", "echo one >~/file; echo gone >~/gone; sandbox-init checkpoint && echo two >~/file && rm ~/gone && { head -c 1G /dev/zero >~/fill || true; }")
	file := o.imageOf(id)
	was := testbed.LoopOf(t, file)
	harness.EngineOK(t, "kill", "sandbox-"+id)
	if e := o.AwaitEnded(id); e.Outcome != datadir.Killed || !e.Kept {
		t.Errorf("it ended %+v", e)
	}
	if m := o.mountedOf(); len(m) != 0 {
		t.Errorf("what is kept is mounted: %q", m)
	}
	testbed.AwaitNoLoop(t, file)
	// A save that cannot begin takes nothing away.
	image := filepath.Join(o.SandboxDir(id).Disk().Path(), "image")
	if err := os.Rename(image, image+".away"); err != nil {
		t.Fatal(err)
	}
	if r := o.Do(nil, "save", id); r.Code != 125 || !strings.Contains(r.Stderr, "cannot mount the sandbox's disk") {
		t.Errorf("without its image: %v", r)
	}
	if r := o.Record(id); !r.Ended.Kept || !o.HasHome(id) {
		t.Errorf("without its image it ended %+v", r.Ended)
	}
	if err := os.Rename(image+".away", image); err != nil {
		t.Fatal(err)
	}
	// Another program may have that device by then.
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(taken, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command("losetup", was, taken).Run() == nil {
		t.Cleanup(func() { exec.Command("losetup", "--detach", was).Run() })
	}
	if r := o.Do(nil, "save", id); r.Code != 0 {
		t.Errorf("it is not saved: %v", r)
	}
	harness.NothingLeft(t, id)
	o.noDisk(id)
	r := o.InBase("u", "-q", "--", "sh", "-c", "cat ~/file; ls -A ~; [ $(stat -c %s ~/fill) -gt 10000000 ] && echo filled")
	if r.Stdout != "two\nfile\nfill\nfilled\n" {
		t.Errorf("the next one finds %v", r)
	}
}

// A program that is killed leaves its sandbox, and then nothing.
func TestDiskOfAKilledProgramGoes(t *testing.T) {
	o := newOperator(t)
	const id = "disk-orphan"
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", id, "--disk", "32m", "--", "idle")
	p.Out.Await(t, "idle")
	file := o.imageOf(id)
	p.Signal(syscall.SIGKILL)
	p.End()
	if m := o.mountedOf(); len(m) != 1 {
		t.Errorf("it goes on, on %q", m)
	}
	o.OK("stop", id)
	harness.NothingLeft(t, id)
	o.noDisk(id)
	testbed.AwaitNoLoop(t, file)
}

// A limit that cannot be held is an error with the reason; an image's wish gives way, which
// inspect tells; the operator's ceiling does not.
func TestDiskThatCannotBeMadeIsAnError(t *testing.T) {
	ref := harness.Ref("disk")
	newOperator(t) // makes the image of fakeinit
	derived(t, ref, "FROM "+harness.FakeinitImage+"\nCOPY capabilities.json /etc/sandbox/\n", map[string]string{"capabilities.json": `{"schema_version": 1, "name": "d", "version": "1",
"default_access_mode": "restricted", "resource_limits": {"memory_mb": 512, "cpu_cores": 1, "timeout_seconds": 300, "max_processes": 50, "disk_mb": 48}}`})
	for _, tc := range []struct {
		name   string
		uid    int
		apart  bool // in a mount namespace that the engine does not see
		reason string
	}{
		{name: "somebody else", uid: contract.AgentUID, reason: "only root may mount; run this program as root"},
		{name: "mounts apart", apart: true, reason: "the engine does not see what this program mounts"},
		{name: "root"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := newOperator(t)
			o.As(tc.uid)
			run := func(args ...string) harness.Result {
				args = append([]string{"run", "--user-id", "u"}, args...)
				if !tc.apart {
					return o.Do(nil, args...)
				}
				// The daemon, which the tests ask, stays where they are.
				o.OK("run", "--image", harness.FakeinitImage, "--user-id", "other", "--", "true")
				apart := *o.Operator
				apart.Program = "unshare"
				return apart.Do(nil, append([]string{"--mount", "--propagation", "private", o.Program}, args...)...)
			}
			r := run("--image", harness.FakeinitImage, "--sandbox-id", "asked", "--disk", "32m", "--", "write", "x")
			if tc.reason == "" && (r.Code != 0 || o.Record("asked").Limits.Disk != 32<<20) {
				t.Errorf("asked for: %v", r)
			}
			if tc.reason != "" && (r.Code != 125 || !strings.Contains(r.Stderr, "cannot limit the sandbox's disk") || !strings.Contains(r.Stderr, tc.reason) || !strings.Contains(r.Stderr, "without --disk there is no limit")) {
				t.Errorf("asked for: %v", r)
			}
			if _, known := o.List("-a")["asked"]; known != (tc.reason == "") {
				t.Errorf("known afterwards: %v", known)
			}

			if r := run("--image", ref, "--sandbox-id", "wished", "--", "write", "y"); r.Code != 0 {
				t.Errorf("an image's wish: %v", r)
			}
			d, text := o.inspectDisk("wished"), o.OK("inspect", "wished")
			if tc.reason == "" && (d.Limit != 48<<20 || !strings.Contains(text, "disk: 48 MB\n")) {
				t.Errorf("an image's wish: %+v\n%s", d, text)
			}
			if tc.reason != "" && (d.Limit != 0 || !strings.Contains(d.Reason, tc.reason) || !strings.Contains(text, "disk: unlimited (") || !strings.Contains(text, tc.reason)) {
				t.Errorf("an image's wish: %+v\n%s", d, text)
			}
			if r := run("--image", ref, "-q", "--disk", "none", "--sandbox-id", "none", "--", "read"); r.Code != 0 || r.Stdout != "y\n" || o.inspectDisk("none") != (inspectedDisk{}) {
				t.Errorf("asked away: %v, %+v", r, o.inspectDisk("none"))
			}

			config := filepath.Join(filepath.Dir(o.DataDir), "config")
			if err := os.MkdirAll(filepath.Join(config, "matrx-sandbox"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(config, "matrx-sandbox", "limits.yaml"), []byte("ceiling: {disk: 40m}"), 0o644); err != nil {
				t.Fatal(err)
			}
			o.Env = append(o.Env, "XDG_CONFIG_HOME="+config)
			r = run("--image", harness.FakeinitImage, "--sandbox-id", "ceiling", "--", "read")
			if tc.reason == "" && (r.Code != 0 || o.Record("ceiling").Limits.Disk != 40<<20) {
				t.Errorf("a ceiling: %v", r)
			}
			if tc.reason != "" && (r.Code != 125 || !strings.Contains(r.Stderr, tc.reason) || !strings.Contains(r.Stderr, "ceiling.disk")) {
				t.Errorf("a ceiling: %v", r)
			}
			if r := run("--image", ref, "--disk", "none", "--", "read"); r.Code != 125 || !strings.Contains(r.Stderr, "--disk is none; this machine's ceiling is 40m") {
				t.Errorf("a ceiling asked away: %v", r)
			}
			for _, id := range []string{"asked", "wished", "none", "ceiling"} {
				harness.NothingLeft(t, id)
				o.noDisk(id)
			}
		})
	}
}
