package storage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// describe prints a tree as one that has the same prints it: type, mode, size, checksum, target.
const describe = `cd && find . -mindepth 1 \( -path ./.cache -prune -o -printf '%P %y %m %l\n' \) | sort;
	find . -type f -not -path './.cache/*' -exec sha256sum {} + | sort -k2`

// makeTree makes a home worth keeping, with a git repository in it.
const makeTree = `set -e; cd; mkdir -p a/b empty; echo hello >a/b/c; head -c 3000000 /dev/urandom >big; : >nothing;
	chmod 751 a/b; chmod 640 big; ln -s ../dangling a/link; touch -d 2001-02-03T04:05:06.123456789Z a/b/c;
	mkdir -p .cache/x; echo no >.cache/x/y;
	git init -q repo; cd repo; git config user.email a@b; git config user.name n;
	for i in 1 2 3; do echo $i >f$i; git add .; git commit -qm $i; done; git gc -q; git pack-refs --all`

func TestAHomeOutlivesItsSandbox(t *testing.T) {
	t.Parallel()
	b := testbed.S3(t).Bucket(t)
	x := newHostBox(t, b)
	x.Start("sh", "-c", "id -u && "+makeTree+" && "+describe)
	if code := x.Wait(); code != 0 {
		t.Fatalf("the first sandbox ended with %d\n%s", code, x.log.text())
	}
	uid, first, _ := strings.Cut(x.out.String(), "\n")
	if uid != "1000" {
		t.Errorf("the command ran as UID %s", uid)
	}
	x.LoseDisks()

	x.Start("sh", "-c", describe+" && git -C repo fsck --strict && stat -c %y a/b/c && find . ! -user 1000")
	if code := x.Wait(); code != 0 {
		t.Fatalf("the second sandbox ended with %d\n%s", code, x.log.text())
	}
	second := strings.TrimSuffix(x.out.String(), "2001-02-03 04:05:06.123456789 +0000\n")
	if second != first {
		t.Errorf("the home came back as\n%s\nand was\n%s", second, first)
	}
	if _, err := os.Stat(filepath.Join(x.Home, ".cache")); err == nil {
		t.Error("what is excluded was kept")
	}
	var holder contract.LeaseHolder
	if o, ok := b.Get("users/u/" + contract.LeaseName); !ok || json.Unmarshal(o.Body, &holder) != nil || !holder.Released {
		t.Errorf("the lease is not released: %s", o.Body)
	}
}

// The same disks again: nothing to fetch, nothing to upload, and the lease at once.
func TestARestartOnTheSameDisks(t *testing.T) {
	t.Parallel()
	b := testbed.S3(t).Bucket(t)
	x := newHostBox(t, b)
	x.Start("sh", "-c", makeTree)
	if code := x.Wait(); code != 0 {
		t.Fatalf("it ended with %d\n%s", code, x.log.text())
	}
	before := b.ETags("users/u/hot/")
	x.Ready("sleep", "1000")
	st := x.Status()
	if st.Storage.Hot.Uploaded != 0 || st.Storage.Hot.Hydrated != 0 {
		t.Errorf("%d files were uploaded and %d hydrated", st.Storage.Hot.Uploaded, st.Storage.Hot.Hydrated)
	}
	if code := x.Stop(); code != 143 {
		t.Errorf("it ended with %d", code)
	}
	for k, etag := range b.ETags("users/u/hot/") {
		if before[k] != etag {
			t.Errorf("%s was written again", k)
		}
	}
}

// A stop before the workspace is there leaves S3 as it is.
func TestSIGTERMWhileHydrating(t *testing.T) {
	t.Parallel()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	for i := range 50 {
		b.Put(fmt.Sprintf("users/u/hot/f%d", i), "x", nil)
	}
	before := fmt.Sprint(b.ETags(""))
	p := testbed.Proxy(t, srv)
	gate := testbed.Hold()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/f"}, Do: gate})
	x := newHostBox(t, b).through(p).Start("sleep", "1000")
	if !gate.WaitArrived(t.Context(), 5) {
		t.Fatal("nothing is fetched")
	}
	if code := x.Stop(); code != 143 {
		t.Errorf("it ended with %d", code)
	}
	if x.log.count("ready") != 0 {
		t.Error("it was ready")
	}
	if after := fmt.Sprint(b.ETags("")); after != before {
		t.Errorf("S3 has %s and had %s", after, before)
	}
}

// What cannot be saved is named, and the next start of the same container saves it.
func TestWhatIsNotSavedIsSaid(t *testing.T) {
	t.Parallel()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	x := newHostBox(t, b).through(p)
	x.Env[contract.EnvShutdownTimeout] = "6"
	x.Ready("sh", "-c", "cd; trap 'echo late >late; exit 3' TERM; echo kept >kept; while :; do sleep 0.05; done")
	p.WaitFor(t.Context(), testbed.Match{Verb: "PUT", Key: "users/u/hot/kept"}, 1)
	x.Checkpoint()
	p.Away()
	if code := x.Stop(); code != contract.ExitUnsaved {
		t.Errorf("it ended with %d, want 74", code)
	}
	var list contract.UnsavedList
	content, err := os.ReadFile(filepath.Join(x.State, contract.UnsavedFileName))
	if err == nil {
		err = json.Unmarshal(content, &list)
	}
	if err != nil || len(list.Files) != 1 || list.Files[0].Path != "late" || list.Files[0].Reason == "" {
		t.Errorf("the list is %s, %v", content, err)
	}
	b.WantNone("users/u/hot/late")

	p.Back()
	x.Start("true")
	if code := x.Wait(); code != 0 {
		t.Errorf("the restart ended with %d\n%s", code, x.log.text())
	}
	b.Want("users/u/hot/late", "late\n")
	b.Want("users/u/hot/kept", "kept\n")
	if _, err := os.Stat(filepath.Join(x.State, contract.UnsavedFileName)); err == nil {
		t.Error("the list is still there")
	}
}

// PID 1 decides when storage ends; no signal that others may send does.
func TestStorageIgnoresSignals(t *testing.T) {
	t.Parallel()
	x := newHostBox(t, testbed.S3(t).Bucket(t)).Ready("sleep", "1000")
	pid := x.StoragePID()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTOU, syscall.SIGTTIN} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	x.Checkpoint()
	if now := x.StoragePID(); now != pid {
		t.Errorf("storage is process %d, was %d", now, pid)
	}
	if code := x.Stop(); code != 143 {
		t.Errorf("it ended with %d", code)
	}
}

// When PID 1 is gone, nothing is written any more.
func TestStorageEndsWithItsPID1(t *testing.T) {
	t.Parallel()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	x := newHostBox(t, b).through(p)
	x.orphans = true
	x.Ready("sh", "-c", "cd; while :; do date +%N >f; sleep 0.01; done")
	p.WaitFor(t.Context(), testbed.Match{Verb: "PUT", Key: "users/u/hot/f"}, 2)
	state := x.Status().State
	t.Cleanup(func() { _ = syscall.Kill(state.WorkloadPID, syscall.SIGKILL) })
	end := waitGone(t, state.StoragePID)
	x.Signal(syscall.SIGKILL)
	<-end
	_ = syscall.Kill(state.WorkloadPID, syscall.SIGKILL) // it holds the log open
	p.Forget()
	x.Wait()
	if n := p.Count("PUT"); n != 0 {
		t.Errorf("%d PUTs after the storage process had ended", n)
	}
}

func TestTheCommandsOfAnAgent(t *testing.T) {
	t.Parallel()
	x := newHostBox(t, testbed.S3(t).Bucket(t)).Ready("sleep", "1000")
	if r := x.InitCommand(contract.AgentUID, "healthcheck"); r.Code != 0 || r.Stdout != "ready\n" {
		t.Errorf("healthcheck: %v", r)
	}
	if r := x.InitCommand(contract.AgentUID, "checkpoint"); r.Code != 0 || !strings.Contains(r.Stdout, "everything is in S3") {
		t.Errorf("checkpoint: %v", r)
	}
	r := x.InitCommand(contract.AgentUID, "status")
	for _, want := range []string{"sandbox         box of user u", "ready for", "isolation full", "hot           synced", "lease         held"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("status does not say %q:\n%s", want, r.Stdout)
		}
	}
	st := x.Status()
	if !st.State.Ready || st.Storage == nil || st.Storage.Lease.State != "held" || st.Storage.Requests["PUT"] == 0 {
		t.Errorf("status --json: %+v", st)
	}
	if code := x.Stop(); code != 143 {
		t.Errorf("it ended with %d", code)
	}
}
