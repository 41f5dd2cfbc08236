package cold_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// needs fails the test when a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("this test needs %s: apt-get install rsync git sqlite3 python3 ffmpeg tar", p)
		}
	}
}

// TestPrograms runs, as the agent, what people run. Each script fails by itself; what it
// says is compared with want. Afterwards everything goes to S3, a process without memory of it
// takes over, and again says what it finds.
func TestPrograms(t *testing.T) {
	t.Parallel()
	needs(t, "rsync", "git", "sqlite3", "python3", "tar", "ffmpeg")
	for _, p := range []struct{ name, script, want, again, wantAgain string }{
		{
			name:   "cp",
			script: `mkdir src; for i in $(seq 50); do echo $i > src/f$i; done; head -c 3000000 /dev/urandom > src/big; chmod 751 src/f7; touch -d 2001-02-03T04:05:06.789 src/f8; cp -a src dst; diff -r src dst && stat -c %a,%y dst/f7 dst/f8 | cut -c1-4`,
			want:   "751,\n644,",
			again:  `diff -r src dst && stat -c '%a' dst/f7 && stat -c %y dst/f8`, wantAgain: "751\n2001-02-03 04:05:06.789000000 +0000",
		},
		{
			name:   "mv",
			script: `mkdir -p a/b/c; echo x > a/b/c/x; echo y > a/y; mv a z; mv z/b/c/x z/x; mkdir q; mv z q/; mv -n q/z/x q/z/y; cat q/z/x q/z/y; mv q/z/x q/z/y; cat q/z/y; find . | sort`,
			want:   "x\ny\nx\n.\n./q\n./q/z\n./q/z/b\n./q/z/b/c\n./q/z/y",
			again:  `find . | sort; cat q/z/y`, wantAgain: ".\n./q\n./q/z\n./q/z/b\n./q/z/b/c\n./q/z/y\nx",
		},
		{
			name:   "rm",
			script: `mkdir -p d/{1..20}/{1..5}; for i in d/*/*; do echo $i > $i/f; done; find d -type f | wc -l; rm -r d; ls -A; mkdir d; echo new > d/new; rm -rf nothing`,
			want:   "100",
			again:  `find . | sort`, wantAgain: ".\n./d\n./d/new",
		},
		{
			name:   "find",
			script: `mkdir -p x/y; touch x/a x/y/b; ln -s a x/l; chmod 700 x/y/b; find x -type f | sort; find x -type l; find x -perm 700; find x -newermt 2001-01-01 -type d | wc -l`,
			want:   "x/a\nx/y/b\nx/l\nx/y/b\n2",
			again:  `find x -type l -printf '%p %l\n'; find x -perm 700`, wantAgain: "x/l a\nx/y/b",
		},
		{
			name:   "tar",
			script: `mkdir -p t/d; for i in $(seq 30); do head -c $((i*5000)) /dev/urandom > t/d/$i; done; ln -s d/1 t/l; touch -d @1000000000.123456789 t/d/5; tar cf a.tar t; mkdir o; tar xf a.tar -C o; diff -r t o/t && tar df a.tar && tar tf a.tar | wc -l`,
			want:   "33",
			again:  `tar df a.tar && tar df a.tar -C o && stat -c %.9Y t/d/5`, wantAgain: "1000000000.123456789",
		},
		{
			name:   "rsync",
			script: `mkdir -p s/deep; for i in $(seq 40); do echo $i > s/$i; done; head -c 200000 /dev/urandom > s/deep/r; rsync -a s/ r/; diff -r s r; rsync -ain s/ r/ | wc -l; echo change >> s/3; rm s/4; rsync -a --delete --inplace s/ r/; diff -r s r; rsync -a --checksum -i s/ r/ | wc -l`,
			want:   "0\n0",
			again:  `rsync -ainO s/ r/; ls -A r | grep -c '^\.' || true`, wantAgain: "0",
		},
		{
			name: "git",
			script: `export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
				git init -q -b main up; cd up; for i in $(seq 60); do echo $i > f$i; done; git add .; git commit -qm one; echo more >> f1; git commit -qam two; git gc -q; cd ..
				git clone -q up down; cd down; git log --oneline | wc -l; git fsck --strict 2>&1 | grep -v '^dangling' || true; git checkout -q -b side HEAD~1; echo s > f2; git commit -qam three; git rebase -q main; git status --porcelain; git pack-refs --all; git diff --stat HEAD~1`,
			want:  "2\n f2 | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)",
			again: `cd down; git status --porcelain; git fsck --strict 2>&1 | grep -v '^dangling' || true; git log --oneline | wc -l; cat f2`, wantAgain: "3\ns",
		},
		{
			name: "sqlite3",
			script: `sqlite3 d.db 'create table t(a,b); insert into t values(1,2)'; sqlite3 d.db 'pragma journal_mode=wal; begin; with recursive n(i) as (select 1 union all select i+1 from n where i<5000) insert into t select i, hex(randomblob(40)) from n; commit; update t set b=null where a%3=0; delete from t where a%5=0; vacuum'
				sqlite3 d.db 'pragma integrity_check; select count(*) from t'`,
			want:  "wal\nok\n4001",
			again: `sqlite3 d.db 'pragma integrity_check; select count(*) from t'`, wantAgain: "ok\n4001",
		},
		{
			name: "python",
			script: `python3 - <<'E'
import os, mmap
def w(mode, data, name="p"):
    with open(name, mode) as f: f.write(data)
w("x", "one\n"); w("a", "two\n")
try: w("x", "no")
except FileExistsError: print("exists")
with open("p", "r+") as f:
    f.seek(1); f.write("N"); f.seek(0); print(f.read().split())
w("ab", b"\xff"); print(os.path.getsize("p"))
with open("p", "rb+") as f: f.truncate(4)
with open("p", "a+") as f:
    f.write("end"); f.seek(0); print(repr(f.read()))
w("w", "fresh"); print(open("p").read())
fd = os.open("m", os.O_RDWR|os.O_CREAT|os.O_EXCL); os.ftruncate(fd, 300000)
m = mmap.mmap(fd, 300000); m[5:10] = b"hello"; m[299990:300000] = b"0123456789"; m.flush(); m.close(); os.close(fd)
fd = os.open("m", os.O_RDONLY); m = mmap.mmap(fd, 0, prot=mmap.PROT_READ); print(m[5:10], m[299990:], m.find(b"hello")); m.close()
print(os.pread(fd, 5, 5)); os.close(fd)
fd = os.open("m", os.O_WRONLY|os.O_APPEND); os.write(fd, b"tail"); os.fsync(fd); os.close(fd); print(os.stat("m").st_size)
f = open("u", "w+"); os.unlink("u"); f.write("still here"); f.seek(0); print(f.read()); f.close()
os.replace("p", "m"); print(open("m").read()); print(sorted(os.listdir(".")))
E`,
			want:  "exists\n['oNe', 'two']\n9\n'oNe\\nend'\nfresh\nb'hello' b'0123456789' 5\nb'hello'\n300004\nstill here\nfresh\n['m']",
			again: `cat m; ls -A`, wantAgain: "freshm",
		},
		{
			name: "dd",
			script: `head -c 5000000 /dev/urandom > i; dd if=i of=o bs=4096 status=none conv=fsync; cmp i o; dd if=i of=od bs=64k oflag=direct iflag=direct,fullblock status=none || dd if=i of=od bs=64k status=none; cmp i od
				dd if=i of=o bs=1000 seek=1234 skip=77 count=10 conv=notrunc status=none; cmp <(dd if=i bs=1000 skip=77 count=10 status=none) <(dd if=o bs=1000 skip=1234 count=10 status=none); stat -c %s o
				dd if=/dev/zero of=sparse bs=1 count=0 seek=10M status=none; stat -c %s sparse; truncate -s 100 sparse; wc -c < sparse`,
			want:  "5000000\n10485760\n100",
			again: `cmp i od; stat -c %s o sparse`, wantAgain: "5000000\n100",
		},
		{
			name:   "ffmpeg",
			script: `ffmpeg -v error -f lavfi -i testsrc=d=4:s=160x120:r=10 -f lavfi -i sine=d=4 -c:v mpeg4 -c:a aac v.mp4; ffmpeg -v error -ss 2.5 -i v.mp4 -frames:v 1 p.png; ffprobe -v error -show_entries format=duration -of csv=p=0 v.mp4 | cut -c1-3; head -c 4 p.png | tail -c 3`,
			want:   "4.0\nPNG",
			again:  `ffmpeg -v error -ss 1 -i v.mp4 -f null - && echo fine`, wantAgain: "fine",
		},
		{
			name:   "shell",
			script: `echo a > f; echo b >> f; (echo c; cat f) > g; cat g; exec 3<>f; echo X >&3; cat <&3; exec 3>&-; : > f; wc -c < f; set -o noclobber; echo z > new; ! { echo z > new; } 2>/dev/null; test -x new || chmod +x new; test -x new; (ln f hard 2>&1 || true) | grep -o 'Operation not permitted'; (mkfifo p 2>&1 || true) | grep -o 'Operation not permitted'`,
			want:   "c\na\nb\nb\n0\nOperation not permitted\nOperation not permitted",
			again:  `ls`, wantAgain: "f\ng\nnew",
		},
		{
			name:   "locks",
			script: `flock f -c 'echo locked'; python3 -c 'import fcntl; f=open("f","w"); fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB); print("lockf")'`,
			want:   "locked\nlockf",
			again:  `ls`, wantAgain: "f",
		},
	} {
		t.Run(p.name, func(t *testing.T) {
			b := newBed(t)
			if got := b.sh(p.script); got != p.want {
				t.Errorf("says\n%s\nnot\n%s", got, p.want)
			}
			if left := b.flush(); len(left) > 0 {
				t.Fatalf("not in S3: %v", left)
			}
			b.stop()
			b.forget()
			b.start()
			if got := b.sh(p.again); got != p.wantAgain {
				t.Errorf("in a new sandbox it says\n%s\nnot\n%s", got, p.wantAgain)
			}
		})
	}
}

// TestReadersAndWritersAtOnce has many processes work on one tree.
func TestReadersAndWritersAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sh(`mkdir w; for p in $(seq 8); do (
		for i in $(seq 40); do
			echo "$p $i" > w/$p.$i; cat w/$p.$i > /dev/null; echo more >> w/shared; ls w > /dev/null
			mv w/$p.$i w/done.$p.$i; [ $((i % 3)) = 0 ] && rm w/done.$p.$i
			head -c 200000 /dev/zero > w/$p.big; cat w/*.big 2>/dev/null | wc -c > /dev/null || true
		done; true) & done; wait`)
	if got := b.sh(`ls w | grep -c done; wc -l < w/shared; ls w | grep -c big`); got != fmt.Sprintf("%d\n320\n8", 8*27) {
		t.Errorf("says %q", got)
	}
	b.sync()
	if n := len(b.bucket.Keys(keys + "w/")); n != 8*27+1+8+1 {
		t.Errorf("%d keys in S3", n)
	}
	b.bucket.Want(keys+"w/shared", strings.Repeat("more\n", 320))
}

// TestManyNames lists what takes several pages.
func TestManyNames(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sh(`mkdir many; cd many; for i in $(seq 2500); do : > name-$i; done`)
	b.flush()
	b.stop()
	b.forget()
	b.start()
	if got := b.sh(`ls many | wc -l; ls many | sort -u | wc -l; ls -f many | grep -c name; ls many/name-1 many/name-2500; (ls many/name-0 2>&1 || true) | grep -o 'No such file'`); got != "2500\n2500\n2500\nmany/name-1\nmany/name-2500\nNo such file" {
		t.Errorf("says %q", got)
	}
	if r := b.requests(); r["LIST"] > 8 || r["HEAD"] > 30 {
		t.Errorf("listing 2,500 names took %v", r)
	}
}
