package run

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// An operator who is not root leaves nothing behind either, although the container's root
// has written in a directory of theirs.
func TestOperatorNeedNotBeRoot(t *testing.T) {
	o := harness.NewOperator(t)
	o.As(contract.AgentUID)
	if r := o.InBase("u", "--sandbox-id", "one", "--", "sh", "-c", "echo kept >~/file"); r.Code != 0 {
		t.Fatal(r)
	}
	if r := o.InBase("u", "-q", "--", "sh", "-c", "cat ~/file"); r.Code != 0 || r.Stdout != "kept\n" {
		t.Errorf("the next one: %v", r)
	}
	if _, err := os.Stat(o.SandboxDir("one").RunDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
	o.OK("rm", "one")
	if _, err := o.SandboxDir("one").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after rm: %v", err)
	}
}

// The embedded S3 is killed again and again under a sandbox that writes all the time. What it
// has written is there in the next one.
func TestImageOutlivesItsStore(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "busy", "--", "bash", "-c",
		`trap 'echo $n >~/count; exit 0' TERM; n=0; while :; do n=$((n+1)); head -c $((n * 97 % 20000)) /dev/urandom >~/file$n; [ $n = 5 ] && echo five; sleep 0.02; done`)
	p.Out.Await(t, "five")
	for range 3 {
		pid := o.DaemonPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.AwaitDeath(t, pid)
		o.List() // the first process that notices starts the next one: here perhaps this
	}
	sums := harness.EngineOK(t, "exec", "--user", "1000", "sandbox-busy", "bash", "-c", "cd ~; n=$(ls | wc -l); sha256sum file1 file2 file$((n-2))")
	p.Signal(syscall.SIGINT)
	if r := p.End(); r.Code != 0 || !strings.Contains(r.Stderr, "busy stopped, exit code 0; saved") {
		t.Fatalf("it ended as %v", r)
	}
	harness.NothingLeft(t, "busy")
	if r := o.InBase("u", "-q", "--", "bash", "-c", `cd ~; echo "$1" | sha256sum --check --quiet && [ "$(cat count)" -le "$(ls file* | wc -l)" ]`, "-", sums); r.Code != 0 {
		t.Errorf("the next one finds %v", r)
	}
}

// The store is away when the sandbox ends: it says so, keeps what it has, and saves it later.
func TestImageKeepsWhatItCouldNotSave(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "late", "--stop-timeout", "3", "--", "bash", "-c",
		`trap 'echo of the last moment >~/late; exit 0' TERM; echo going; while :; do sleep 0.1; done`)
	p.Out.Await(t, "going")
	// Stopped, not killed: no other one is started, and requests hang.
	daemon := o.DaemonPID()
	if err := syscall.Kill(daemon, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGINT)
	r := p.End()
	if err := syscall.Kill(daemon, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// Whether storage can still list what is missing depends on the request that hangs.
	told := strings.Contains(r.Stderr, "late unsaved, exit code 74") || strings.Contains(r.Stderr, "late storage failed, exit code 74")
	if r.Code != contract.ExitUnsaved || !told || !strings.Contains(r.Stderr, "sandbox save late") {
		t.Fatalf("it ended as %v", r)
	}
	if !o.HasHome("late") {
		t.Fatal("its home is gone")
	}
	if r := o.Do(nil, "save", "late"); r.Code != 0 || !strings.Contains(r.Stderr, "late completed, exit code 0") {
		t.Fatalf("save: %v", r)
	}
	harness.NothingLeft(t, "late")
	if r := o.InBase("u", "-q", "--", "sh", "-c", "cat ~/late"); r.Stdout != "of the last moment\n" {
		t.Errorf("the next one: %v", r)
	}
}

// A sandbox that was killed has its lease taken over: its user does not wait for it to expire.
func TestImageTakesTheLeaseOver(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "victim", "--", "sh", "-c", "echo here; sleep 1000")
	p.Out.Await(t, "here")
	harness.EngineOK(t, "kill", "sandbox-victim")
	if r := p.End(); r.Code != 137 {
		t.Errorf("it ended as %v", r)
	}
	r := o.InBase("u", "--log-level", "info", "--", "true")
	if r.Code != 0 || !strings.Contains(r.Stderr, `"was":"taken over"`) {
		t.Errorf("the next one: %v", r)
	}
}

// The cold path is mounted with the rights that a run gives, and kept like the home.
func TestImageMountsItsColdPath(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.InBase("u", "-q", "--", "sh", "-c", "echo cold >/data/cold/file"); r.Code != 0 {
		t.Fatal(r)
	}
	if r := o.InBase("u", "-q", "--", "sh", "-c", "cat /data/cold/file; grep -c fuse.sandbox /proc/mounts"); r.Stdout != "cold\n1\n" {
		t.Errorf("the next one: %v", r)
	}
	if r := o.InBase("u", "-q", "--no-fuse", "--", "sh", "-c", "ls /data/cold; grep -c fuse.sandbox /proc/mounts"); r.Stdout != "0\n" {
		t.Errorf("without the mount: %v", r)
	}
}

// A sandbox runs, and is saved by, the image that was checked when it was made: its name may
// go, or be given to another image.
func TestCheckedImageIsTheOneThatRuns(t *testing.T) {
	o := harness.NewOperator(t)
	ref := harness.Ref("checked")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+harness.FakeinitImage+"\nLABEL checked=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	harness.EngineOK(t, "build", "-q", "-t", ref, dir)
	checked := strings.TrimSpace(harness.EngineOK(t, "image", "inspect", "--format", "{{.Id}}", ref))
	t.Cleanup(func() { // the name is another's by then
		if out, err := exec.Command("docker", "image", "rm", ref, checked).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	id := o.OK("run", "--image", ref, "--user-id", "u", "--detach")
	if runs := strings.TrimSpace(harness.EngineOK(t, "inspect", "--format", "{{.Config.Image}} {{.Image}}", "sandbox-"+id)); runs != checked+" "+checked {
		t.Errorf("the container is made from %q, want %s", runs, checked)
	}
	harness.EngineOK(t, "tag", catalog.Reference("", "base", ""), ref)
	harness.EngineOK(t, "kill", "sandbox-"+id)
	o.Do(nil, "stop", id)
	if r := o.Do(nil, "save", id); r.Code != 0 {
		t.Errorf("save: %v", r)
	}
	if got := o.OK("inspect", "--json", id); !strings.Contains(got, checked) {
		t.Errorf("the record says %s, want %s", got, checked)
	}
}
