package cold_test

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// TestProgramCosts runs programs as people do and says what each costs in requests and bytes; docs/cold.md
// has the table. What they may send is bounded by what they leave behind.
func TestProgramCosts(t *testing.T) {
	t.Parallel()
	needs(t, "rsync", "git", "sqlite3", "python3", "tar", "ffmpeg", "vim")
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 2, 8, 2, ' ', 0)
	fmt.Fprintln(out, "program\tfiles\tMB left\twrites\treads\tMB sent\t")
	for _, p := range []struct {
		name, prepare, script string
		times                 float64 // of what is left behind may be sent
	}{
		{"git init, add and commit of 200 files", `mkdir w; for i in $(seq 200); do seq $i 400 > w/$i; done`,
			`cd w; git init -q; git add .; git -c user.name=a -c user.email=a@b commit -qm first`, 2.5},
		{"git gc of it", `mkdir w; cd w; for i in $(seq 200); do seq $i 400 > $i; done; git init -q; git add .; git -c user.name=a -c user.email=a@b commit -qm first`,
			`cd w; git gc -q`, 2.5},
		{"SQLite, WAL, 200 transactions", ``,
			`python3 -c '
import sqlite3, os
c = sqlite3.connect("x.db", isolation_level=None)
c.execute("pragma journal_mode=wal"); c.execute("create table t (a, b)")
for i in range(200): c.execute("insert into t values (?, ?)", (i, os.urandom(500)))
c.close()'`, 6},
		{"SQLite, rollback journal, 200 transactions", ``,
			`python3 -c '
import sqlite3, os
c = sqlite3.connect("x.db", isolation_level=None)
c.execute("create table t (a, b)")
for i in range(200): c.execute("insert into t values (?, ?)", (i, os.urandom(500)))
c.close()'`, 30},
		{"python3 -m venv, without pip", ``, `python3 -m venv --without-pip v`, 3},
		{"tar x of 1,000 files of 4 KB", `mkdir /tmp/cold-tar-$$; cd /tmp/cold-tar-$$; mkdir s; for i in $(seq 1000); do head -c 4000 /dev/urandom > s/$i; done; tar cf "$OLDPWD/a.tar" s; rm -r /tmp/cold-tar-$$`,
			`tar xf a.tar; rm a.tar`, 1.5},
		{"rsync of 300 files, then of 3 that changed", `mkdir s; for i in $(seq 300); do head -c 20000 /dev/urandom > s/$i; done`,
			`rsync -a s/ r/; for i in 1 2 3; do echo more >> s/$i; done; rsync -a s/ r/`, 1.5},
		{"vim, a line of a file of 20 MB", `seq 2600000 > f`, `vim -es -u NONE -i NONE -c '1000s/^/changed /' -c wq f`, 4},
		{"a log of 40 MB, 20 lines in 10 s", `head -c 40000000 /dev/urandom > log`, `for i in $(seq 20); do echo line $i >> log; sleep 0.5; done`, 0.1},
		{"ffmpeg, 10 s of video", ``, `ffmpeg -v error -f lavfi -i testsrc=duration=10:size=640x360:rate=25 -c:v mpeg4 -q:v 3 -movflags +faststart o.mp4`, 3},
		{"a checkpoint of 48 MB, saved three times (zip, as torch.save)", ``,
			`for i in 1 2 3; do python3 -c '
import zipfile, os
with zipfile.ZipFile("model.pt.tmp", "w") as z:
    for i in range(6): z.writestr("data/%d" % i, os.urandom(8_000_000))
os.rename("model.pt.tmp", "model.pt")'; done`, 3.2},
	} {
		b := newBed(t, throughProxy, quiet(250*time.Millisecond))
		if p.prepare != "" {
			b.sh(p.prepare)
			b.sync()
		}
		b.sh(`ls -R > /dev/null`)
		b.proxy.Forget()
		b.sh(p.script)
		b.sync()
		sent, reads := b.proxy.Sent(), b.proxy.Count("GET")+b.proxy.Count("HEAD")+b.proxy.Count("LIST")
		writes := b.proxy.Count("") - reads
		left := int64(0)
		objects := b.bucket.Objects(keys)
		for _, o := range objects {
			left += int64(len(o.Body))
		}
		fmt.Fprintf(out, "%s\t%d\t%.2f\t%d\t%d\t%.2f\t\n", p.name, len(objects), float64(left)/1e6, writes, reads, float64(sent)/1e6)
		if most := int64(p.times*float64(left)) + 1<<20; sent > most {
			t.Errorf("%s sends %d bytes and leaves %d", p.name, sent, left)
		}
		b.stop()
	}
	out.Flush()
	t.Log("\n" + table.String())
}
