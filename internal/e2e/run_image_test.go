package e2e

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
)

// inBase runs a command in the real base image.
func (o *operator) inBase(user string, args ...string) result {
	o.t.Helper()
	return o.do(nil, append([]string{"run", "--image", catalog.Reference("", "base", ""), "--user-id", user}, args...)...)
}

// An operator who is not root leaves nothing behind either, although the container's root
// has written in a directory of theirs.
func TestRunByAnOperatorWhoIsNotRoot(t *testing.T) {
	o := newOperator(t)
	o.as(contract.AgentUID)
	if r := o.inBase("u", "--sandbox-id", "one", "--", "sh", "-c", "echo kept >~/file"); r.code != 0 {
		t.Fatal(r)
	}
	if r := o.inBase("u", "-q", "--", "sh", "-c", "cat ~/file"); r.code != 0 || r.stdout != "kept\n" {
		t.Errorf("the next one: %v", r)
	}
	if _, err := os.Stat(o.sandboxDir("one").RunDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
	o.ok("rm", "one")
	if _, err := o.sandboxDir("one").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after rm: %v", err)
	}
}

// The embedded S3 is killed again and again under a sandbox that writes all the time. What it
// has written is there in the next one.
func TestRunImageOutlivesItsStore(t *testing.T) {
	o := newOperator(t)
	p := o.start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "busy", "--", "bash", "-c",
		`trap 'echo $n >~/count; exit 0' TERM; n=0; while :; do n=$((n+1)); head -c $((n * 97 % 20000)) /dev/urandom >~/file$n; [ $n = 5 ] && echo five; sleep 0.02; done`)
	p.out.await(t, "five")
	for range 3 {
		pid := o.daemonPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitDeath(t, pid)
		o.list() // whoever notices first starts the next one: here perhaps this
	}
	sums := engineOK(t, "exec", "--user", "1000", "sandbox-busy", "bash", "-c", "cd ~; n=$(ls | wc -l); sha256sum file1 file2 file$((n-2))")
	p.signal(syscall.SIGINT)
	if r := p.end(); r.code != 0 || !strings.Contains(r.stderr, "busy stopped, exit code 0; saved") {
		t.Fatalf("it ended as %v", r)
	}
	nothingLeft(t, "busy")
	if r := o.inBase("u", "-q", "--", "bash", "-c", `cd ~; echo "$1" | sha256sum --check --quiet && [ "$(cat count)" -le "$(ls file* | wc -l)" ]`, "-", sums); r.code != 0 {
		t.Errorf("the next one finds %v", r)
	}
}

// The store is away when the sandbox ends: it says so, keeps what it has, and saves it later.
func TestRunImageKeepsWhatItCouldNotSave(t *testing.T) {
	o := newOperator(t)
	p := o.start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "late", "--stop-timeout", "3", "--", "bash", "-c",
		`trap 'echo of the last moment >~/late; exit 0' TERM; echo going; while :; do sleep 0.1; done`)
	p.out.await(t, "going")
	// Stopped, not killed: nobody starts another one, and requests hang.
	daemon := o.daemonPID()
	if err := syscall.Kill(daemon, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGINT)
	r := p.end()
	if err := syscall.Kill(daemon, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// Whether storage can still list what is missing depends on the request that hangs.
	told := strings.Contains(r.stderr, "late unsaved, exit code 74") || strings.Contains(r.stderr, "late storage failed, exit code 74")
	if r.code != contract.ExitUnsaved || !told || !strings.Contains(r.stderr, "sandbox save late") {
		t.Fatalf("it ended as %v", r)
	}
	if volumes(t, "late") == "" {
		t.Fatal("its volumes are gone")
	}
	if r := o.do(nil, "save", "late"); r.code != 0 || !strings.Contains(r.stderr, "late completed, exit code 0") {
		t.Fatalf("save: %v", r)
	}
	nothingLeft(t, "late")
	if r := o.inBase("u", "-q", "--", "sh", "-c", "cat ~/late"); r.stdout != "of the last moment\n" {
		t.Errorf("the next one: %v", r)
	}
}

// A sandbox that was killed has its lease taken over: its user does not wait for it to expire.
func TestRunImageTakesTheLeaseOver(t *testing.T) {
	o := newOperator(t)
	p := o.start("run", "--image", catalog.Reference("", "base", ""), "--user-id", "u", "--sandbox-id", "victim", "--", "sh", "-c", "echo here; sleep 1000")
	p.out.await(t, "here")
	engineOK(t, "kill", "sandbox-victim")
	if r := p.end(); r.code != 137 {
		t.Errorf("it ended as %v", r)
	}
	r := o.inBase("u", "--log-level", "info", "--", "true")
	if r.code != 0 || !strings.Contains(r.stderr, `"was":"taken over"`) {
		t.Errorf("the next one: %v", r)
	}
}

// The cold path is mounted with the rights that a run gives, and kept like the home.
func TestRunImageColdPath(t *testing.T) {
	o := newOperator(t)
	if r := o.inBase("u", "-q", "--", "sh", "-c", "echo cold >/data/cold/file"); r.code != 0 {
		t.Fatal(r)
	}
	if r := o.inBase("u", "-q", "--", "sh", "-c", "cat /data/cold/file; grep -c fuse.sandbox /proc/mounts"); r.stdout != "cold\n1\n" {
		t.Errorf("the next one: %v", r)
	}
	if r := o.inBase("u", "-q", "--no-fuse", "--", "sh", "-c", "ls /data/cold; grep -c fuse.sandbox /proc/mounts"); r.stdout != "0\n" {
		t.Errorf("without the mount: %v", r)
	}
}
