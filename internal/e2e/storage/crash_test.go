package storage

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// busy is a workload that writes, renames, truncates and deletes, and commits to a git repository. Each
// file says itself whether it is whole: a number, 2,000 times.
const busy = `cd; i=0; while :; do i=$((i+1));
		for f in f0 f1 f2 d/f3 d/e/f4; do mkdir -p d/e; yes $i | head -n 2000 >.tmp.$$; mv .tmp.$$ $f; done;
		echo $i >short; : >short; mv f2 g2; rm -r d/e; echo $i >>log;
		echo $i >r/n; git -C r add n; git -C r commit -qm $i; [ $((i%7)) = 0 ] && git -C r gc -q;
	done`

// prepare makes the repository. A half of one is no repository, and it need not all be in S3
// yet when its sandbox is killed.
const prepare = `cd; git init -q r; cd r; git config user.email a@b; git config user.name n; git commit -q --allow-empty -m 0`

// whole prints what is not whole.
const whole = `cd; rm -f r/.git/*.lock; for f in $(find f* g* d -type f 2>/dev/null); do
		[ $(sort -u $f | wc -l) = 1 ] && [ $(wc -l <$f) = 2000 ] || echo torn: $f; done;
	find . -name '*.conflict-*';
	git -C r fsck --strict --no-dangling 2>&1 | grep -v -e ^notice: -e 'HEAD points to an unborn branch'; true`

// prepared runs a script in a sandbox of its own.
func (x *hostBox) prepared(script string) *hostBox {
	x.t.Helper()
	x.Start("sh", "-c", script)
	if code := x.Wait(); code != 0 {
		x.t.Fatalf("it ended with %d\n%s", code, x.log.text())
	}
	return x
}

// The storage process dies again and again; the workload does not notice, and in the end S3 has
// what the disk has.
func TestStorageIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	x := newHostBox(t, b).through(p).prepared(prepare).Ready("sh", "-c", busy)
	x.Event("command_started")
	st := x.Status()
	for st.State.WorkloadPID == 0 { // it is written a moment after the log line
		st = x.Status()
	}
	command := st.State.WorkloadPID
	const kills = crashes
	for killed := 0; killed < kills; {
		p.Forget()
		p.WaitFor(t.Context(), testbed.Match{Verb: "PUT"}, 1+rand.IntN(40))
		pid := x.StoragePID()
		if pid == 0 {
			continue // PID 1 is about to start it
		}
		killed++
		gone := waitGone(t, pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-gone
		x.Event("storage_died")
	}
	x.Event("resumed")
	for st = x.Status(); st.State.StorageRestarts < kills; st = x.Status() { // it is written a moment after the log line
	}
	if st.State.WorkloadPID != command || !st.State.Ready || st.State.StorageRestarts != kills {
		t.Errorf("after %d kills: command %d, was %d; ready %v; %d restarts", kills, st.State.WorkloadPID, command, st.State.Ready, st.State.StorageRestarts)
	}
	if code := x.Stop(); code != 143 {
		t.Fatalf("it ended with %d\n%s", code, x.log.text())
	}

	x.Start("sh", "-c", describe)
	if code := x.Wait(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	disk := x.out.String()
	x.LoseDisks()
	x.Start("sh", "-c", describe)
	if code := x.Wait(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	if inS3 := x.out.String(); inS3 != disk {
		t.Errorf("S3 has\n%s\nand the disk\n%s", inS3, disk)
	}
	if strings.Contains(disk, ".conflict-") {
		t.Errorf("conflict copies were made of our own writes:\n%s", disk)
	}
}

// The container dies again and again, at any instant.
func TestTheContainerIsKilledAgainAndAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		lose bool
	}{{"disks kept", false}, {"disks lost", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := testbed.S3(t)
			b := srv.Bucket(t)
			p := testbed.Proxy(t, srv)
			x := newHostBox(t, b).through(p).prepared(prepare)
			for round := range crashes {
				x.Start("sh", "-c", busy)
				instance, _ := x.Event("lease_acquired")["instance"].(string)
				p.Forget()
				p.WaitFor(t.Context(), testbed.Match{Verb: "PUT"}, 1+rand.IntN(80))
				x.Kill()
				if test.lose {
					x.LoseDisks()
					x.Env["LEASE_TAKEOVER"] = instance // the engine said that it is dead
				}
				x.Start("sh", "-c", whole)
				if code := x.Wait(); code != 0 || x.out.Len() != 0 {
					t.Fatalf("round %d: it ended with %d and found\n%s%s", round, code, x.out, x.log.text())
				}
			}
		})
	}
}
