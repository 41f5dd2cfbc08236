package storage

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// mountedAnew waits, by what poll(2) tells of /proc/mounts (proc_pid_mounts(5)), until the cold
// path is mounted with another device number than before. It prints the milliseconds.
const mountedAnew = `
import select, time, sys
def mounts():
    f = open("/proc/self/mountinfo"); return f, [l.split()[2] for l in f if " /data/cold " in l]
start = time.monotonic()
f, now = mounts()
while now in ([], [sys.argv[1]]):
    p = select.poll(); p.register(f, select.POLLPRI | select.POLLERR)
    if not p.poll(60000): sys.exit("not mounted again: " + str(now))
    f, now = mounts()
print(round((time.monotonic() - start) * 1000))`

// The mount is the agent's, closed to set-user-ID programs and devices, and ordinary programs work
// on it; what they left is there in the user's next sandbox, and in S3 before that begins.
func TestColdMountOfTheAgent(t *testing.T) {
	o := harness.NewOperator(t)
	b := o.ColdBox("cold-one")
	options := b.Agent(`grep ' /data/cold ' /proc/mounts`)
	for _, want := range []string{"nosuid", "nodev", "fuse.sandbox"} {
		if !strings.Contains(options, want) {
			t.Errorf("it is mounted %q, without %s", options, want)
		}
	}
	if got := b.Agent(`stat -c '%U:%G %a' /data/cold; id -un; findmnt -no SOURCE /data/cold`); got != "agent:agent 755\nagent\ncold" {
		t.Errorf("it says %q", got)
	}
	if got := harness.EngineOK(t, "exec", "--user", "0", b.Name, "stat", "-c", "%U", contract.DefaultColdPath); got != "agent" {
		t.Errorf("root sees %q", got)
	}
	b.Agent(`cd /data/cold; export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; set -e
		mkdir -p work/sub; cp /bin/ls work/; chmod 755 work/ls; work/ls work > /dev/null; ln -s ls work/link
		cp -a work copy; diff -r work copy; mv copy moved; tar cf a.tar moved; mkdir out; tar xf a.tar -C out; diff -r moved out/moved; rm -r moved
		git init -q -b main repo; for i in 1 2 3; do echo $i > repo/f$i; git -C repo add .; git -C repo commit -qm $i; done; git clone -q repo clone; git -C clone fsck --strict
		find . -type l; touch -d 2001-02-03T04:05:06.5Z work/sub
		python3 -c 'import sqlite3; d = sqlite3.connect("d.db"); d.execute("create table t(a)"); d.executemany("insert into t values(?)", [(i,) for i in range(2000)]); d.commit(); assert d.execute("pragma integrity_check").fetchone() == ("ok",)'
		python3 -c 'import mmap; f = open("work/ls", "rb"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); assert m[:4] == b"\x7fELF"'
		dd if=/bin/ls of=direct bs=4096 oflag=direct conv=fsync status=none; cmp direct /bin/ls
		seq 100000 > numbers; truncate -s 100 numbers; echo more >> numbers`)
	sums := b.Agent(`cd /data/cold; find . -type f -exec sha256sum {} + | sort -k2; find . -printf '%P %y %m %l\n' | sort`)
	if r := o.Do(nil, "stop", "cold-one"); r.Code != 0 {
		t.Fatalf("it ended as %v", r)
	}
	harness.NothingLeft(t, "cold-one")

	next := o.ColdBox("cold-two")
	if got := next.Agent(`cd /data/cold; find . -type f -exec sha256sum {} + | sort -k2; find . -printf '%P %y %m %l\n' | sort`); got != sums {
		t.Errorf("the next sandbox has\n%s\nand the first had\n%s", got, sums)
	}
	next.Agent(`cd /data/cold; git -C clone fsck --strict; python3 -c 'import sqlite3; assert sqlite3.connect("d.db").execute("select count(*) from t").fetchone() == (2000,)'`)
}

// The storage process dies: what was open fails at once, the path is mounted anew, and what was
// written and had not reached S3 is there, and gets there.
func TestColdStorageIsKilled(t *testing.T) {
	o := harness.NewOperator(t)
	b := o.ColdBox("cold-killed")
	b.Agent(`head -c 3000000 /dev/urandom > /data/cold/old; sandbox-init cold sync`)
	sum := b.Agent(`sha256sum < /data/cold/old`)
	// It holds the cold path open in three ways, and says what becomes of them.
	holder := exec.Command("docker", "exec", "-i", "--user", "1000", b.Name, "python3", "-uc", `
import os, errno, sys
os.chdir("/data/cold")
r, w = os.open("old", os.O_RDONLY), os.open("new", os.O_RDWR | os.O_CREAT)
os.write(w, b"acknowledged"); os.fsync(w)
os.posix_fadvise(r, 0, 0, os.POSIX_FADV_DONTNEED) # what the kernel has cached can be read for ever
print("open"); sys.stdin.readline()
def name(f):
    try: f(); return "ok"
    except OSError as e: return errno.errorcode[e.errno]
print(name(lambda: os.pread(r, 1, 2900000)), name(lambda: os.write(w, b"x")), name(lambda: os.stat("old")), name(lambda: open("old2", "w")))
print(name(lambda: os.stat("/data/cold/old")))`)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := harness.NewScreen()
	var failed bytes.Buffer
	holder.Stdout, holder.Stderr = said, &failed
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	said.Await(t, "open\n")
	resume := b.PauseStore() // what is written from here on is in the cache alone
	b.Agent(`echo dirty > /data/cold/dirty; echo more >> /data/cold/dirty`)
	device := b.Device()
	b.KillStorage()
	resume()
	took := b.Agent("python3 -c '" + mountedAnew + "' " + device)
	t.Logf("mounted anew %s ms after it was looked for", took)
	fmt.Fprintln(in)
	if err := holder.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &failed)
	}
	if got := said.String(); got != "open\nENOTCONN ENOTCONN ENOTCONN ENOTCONN\nok\n" {
		t.Errorf("who had it open saw %q", got)
	}
	if got := b.Agent(`sha256sum < /data/cold/old; cat /data/cold/dirty /data/cold/new`); got != sum+"\ndirty\nmore\nacknowledged" {
		t.Errorf("the new mount has %q", got)
	}
	b.Agent(`sandbox-init cold sync`)
	if _, st := b.Status(); st.Cold == nil || st.Cold.PendingFiles != 0 {
		t.Errorf("after sync the status is %+v", st.Cold)
	}
	b.Agent(`cd /data/cold; echo after > dirty; mv dirty renamed; rm new; test ! -e new`)
	o.OK("stop", "cold-killed")
	next := o.ColdBox("cold-after")
	if got := next.Agent(`cd /data/cold; ls; cat renamed; sha256sum < old`); got != "old\nrenamed\nafter\n"+sum {
		t.Errorf("the next sandbox has %q", got)
	}
}

// The whole container is killed with changes that S3 does not have. Its home is kept, and
// with them what was acknowledged.
func TestColdContainerIsKilled(t *testing.T) {
	o := harness.NewOperator(t)
	b := o.ColdBox("cold-victim")
	b.Agent(`mkdir /data/cold/d; echo before > /data/cold/d/f; head -c 200000 /dev/zero > /data/cold/big; sandbox-init cold sync`)
	resume := b.PauseStore()
	b.Agent(`cd /data/cold; echo after >> d/f; echo new > d/new; mv big d/moved; printf X | dd of=d/moved bs=1 seek=150000 conv=notrunc status=none`)
	if _, st := b.Status(); st.Cold == nil || st.Cold.PendingFiles == 0 {
		t.Fatalf("nothing is pending: %+v", st.Cold)
	}
	harness.EngineOK(t, "kill", b.Name)
	resume()
	o.AwaitEnded("cold-victim")
	if !o.HasHome("cold-victim") {
		t.Fatal("its home is gone")
	}
	if r := o.Do(nil, "save", "cold-victim"); r.Code != 0 {
		t.Fatalf("save: %v", r)
	}
	harness.NothingLeft(t, "cold-victim")
	next := o.ColdBox("cold-heir")
	if got := next.Agent(`cd /data/cold; ls; cat d/f d/new; stat -c %s d/moved; tr -d '\0' < d/moved`); got != "d\nbefore\nafter\nnew\n200000\nX" {
		t.Errorf("the next sandbox has %q", got)
	}
}

// Without the right to mount, the directory is there, empty and closed, it is said why, and the
// same objects are reached by sandbox-init cold.
func TestColdWithoutTheRightToMount(t *testing.T) {
	o := harness.NewOperator(t)
	first := o.ColdBox("cold-mounted")
	first.Agent(`mkdir /data/cold/d; echo one > /data/cold/d/one; echo two > /data/cold/two`)
	o.OK("stop", "cold-mounted")

	b := o.ColdBox("cold-fallback", "--no-fuse")
	s, _ := b.Status()
	if s.Cold != contract.ColdUnavailable || !strings.Contains(s.ColdReason, "/dev/fuse") || !s.Ready {
		t.Errorf("status says %q, because %q; ready: %v", s.Cold, s.ColdReason, s.Ready)
	}
	if got := b.Agent(`stat -c '%U %a' /data/cold; ls -A /data/cold; touch /data/cold/x 2>&1 | grep -oE 'Permission denied|Read-only file system'; sandbox-init status | grep -i cold; sandbox-init healthcheck`); !strings.HasPrefix(got, "root 555\nRead-only file system\n") || !strings.Contains(got, "unavailable") {
		t.Errorf("without the mount: %q", got)
	}
	if got := b.Agent(`set -e; sandbox-init cold ls -r; sandbox-init cold get d/one -; mkdir -p up/deep; echo three > up/deep/three; sandbox-init cold put up; sandbox-init cold put up/deep/three /data/cold/d/; sandbox-init cold rm two; sandbox-init cold sync; sandbox-init cold ls -r; sandbox-init cold get up down; cat down/deep/three`); got != "d/\nd/one\ntwo\none\nd/\nd/one\nd/three\nup/\nup/deep/\nup/deep/three\nthree" {
		t.Errorf("sandbox-init cold: %q", got)
	}
	if r := b.Try(`sandbox-init cold get nothing`); r.Code != 1 {
		t.Errorf("what is not there: %v", r)
	}
	o.OK("stop", "cold-fallback")
	next := o.ColdBox("cold-mounted-again")
	if got := next.Agent(`cd /data/cold; find . -type f | sort; cat d/three`); got != "./d/one\n./d/three\n./up/deep/three\nthree" {
		t.Errorf("the next sandbox has %q", got)
	}
	if r := o.Do(nil, "run", "--image", catalog.Reference("", "core", ""), "--user-id", "v", "--no-fuse", "--env", "COLD_REQUIRED=1", "--", "true"); r.Code != contract.ExitHydrate {
		t.Errorf("with COLD_REQUIRED=1: %v", r)
	}
}
