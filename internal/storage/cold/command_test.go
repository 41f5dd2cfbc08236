package cold_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/client"
	"github.com/matrx/sandbox/internal/testbed"
)

func unmounted(b *bed) { b.conf.Mounted = false }

// command is `sandbox-init cold` in a directory.
func (b *bed) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(testbed.Binary(b.t, "cmd/sandbox-init"), append([]string{"cold"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{contract.EnvRunDir + "=" + filepath.Dir(b.conf.Socket), contract.EnvColdPath + "=/data/cold"}
	return cmd
}

// run runs it to its end.
func (b *bed) run(dir string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	var out, errOut bytes.Buffer
	cmd := b.command(dir, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// ok is run for what must succeed.
func (b *bed) ok(dir string, args ...string) string {
	b.t.Helper()
	out, errOut, code := b.run(dir, args...)
	if code != 0 {
		b.t.Fatalf("sandbox-init cold %q ended with %d: %s", args, code, errOut)
	}
	return out
}

// local makes a tree outside the cold path.
func local(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// treeOf prints a tree as one that has the same prints it.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("bash", "-euc", `find . -mindepth 1 \( -type d -printf '%P/ %m\n' -o -type l -printf '%P -> %l\n' -o -printf '%P %m %s %T@\n' \) | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const someTree = `mkdir -p t/a/b t/empty; echo one > t/one; head -c 3000000 /dev/urandom > t/a/big; : > t/a/nothing; ln -s ../one t/a/link; ln -s /nowhere t/away
	printf x > t/"$(printf 'odd \377 name')"; echo z > 't/per%cent'; chmod 751 t/a; chmod 500 t/a/b; chmod 640 t/one; touch -d 2001-02-03T04:05:06.123456789Z t/one; for i in $(seq 40); do echo $i > t/f$i; done`

// TestCommandDirectories stores a tree, fetches it elsewhere, and does it again: then nothing
// is left to do but what has changed.
func TestCommandDirectories(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, unmounted)
	from := local(t, someTree)
	want := treeOf(t, filepath.Join(from, "t"))

	b.ok(from, "put", "t")
	b.bucket.Want(keys+"t/one", "one\n")
	b.bucket.Want(keys+"t/a/link", "../one")
	if _, there := b.bucket.Get(keys + "t/empty/"); !there {
		t.Error("an empty directory is not in S3 when put has ended")
	}
	to := t.TempDir()
	b.ok(to, "get", "t")
	if got := treeOf(t, filepath.Join(to, "t")); got != want {
		t.Errorf("fetched\n%s\nnot\n%s", got, want)
	}

	b.proxy.Forget()
	_, said, _ := b.run(from, "put", "t")
	_, saidToo, _ := b.run(to, "get", "t")
	if n := b.proxy.Count("PUT") + b.proxy.Count("GET"); n != 0 || !strings.HasPrefix(said, "stored 0 files (0 B), 47 unchanged") || !strings.HasPrefix(saidToo, "fetched 0 files (0 B), 47 unchanged") {
		t.Errorf("again: %d requests for content; it says %q and %q", n, said, saidToo)
	}
	if got := treeOf(t, filepath.Join(to, "t")); got != want {
		t.Errorf("fetched again\n%s\nnot\n%s", got, want)
	}

	if err := os.WriteFile(filepath.Join(from, "t/one"), []byte("changed"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(from, "t/f1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said, _ := b.run(from, "put", "t"); !strings.HasPrefix(said, "stored 2 files") {
		t.Errorf("after two changes it says %q", said)
	}
	// Another sandbox, which has no cache of it, and other names for both ends.
	b.stop()
	b.forget()
	b.start()
	if err := os.MkdirAll(filepath.Join(to, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.ok(to, "get", "/data/cold/t", "x/")
	if got, want := treeOf(t, filepath.Join(to, "x/t")), treeOf(t, filepath.Join(from, "t")); got != want {
		t.Errorf("in another sandbox\n%s\nnot\n%s", got, want)
	}
	b.ok(from, "put", "t", "deep/er")
	b.bucket.Want(keys+"deep/er/one", "changed")
	b.ok(filepath.Join(from, "t"), "put", ".", "/data/cold/dot/")
	b.bucket.Want(keys+"dot/t/one", "changed")
	b.ok(from, "rm", "-r", "t", "deep", "dot")
	if left := b.bucket.Keys(keys); len(left) != 0 {
		t.Errorf("after rm: %q", left)
	}
}

// TestCommandFiles: one file, by the names that cp would take.
func TestCommandFiles(t *testing.T) {
	t.Parallel()
	b := newBed(t, unmounted)
	dir := local(t, `printf content > f; chmod 751 f; touch -d @1000000000.5 f; mkdir there`)
	for _, c := range []struct{ args, key string }{
		{"put f", "f"}, {"put f g", "g"}, {"put f d/", "d/f"}, {"put f /data/cold/e/h", "e/h"}, {"put f /data/cold", "f"},
	} {
		b.ok(dir, strings.Fields(c.args)...)
		b.bucket.Want(keys+c.key, "content")
	}
	if got := b.ok(dir, "get", "d/f", "-"); got != "content" {
		t.Errorf("to standard output: %q", got)
	}
	for _, c := range []struct{ args, file string }{{"get e/h", "h"}, {"get e/h there", "there/h"}, {"get e/h there/i", "there/i"}, {"get e/h new/", "new/h"}} {
		b.ok(dir, strings.Fields(c.args)...)
		info, err := os.Stat(filepath.Join(dir, c.file))
		if err != nil || info.Mode() != 0o751 || info.ModTime().UnixNano() != 1_000_000_000_500_000_000 || info.Size() != 7 {
			t.Errorf("%s: %v, %v", c.args, info, err)
		}
	}
	if got := b.ok(dir, "ls", "-r"); got != "d/\nd/f\ne/\ne/h\nf\ng\n" {
		t.Errorf("ls says %q", got)
	}
	var e contract.ColdEntry
	if err := json.Unmarshal([]byte(b.ok(dir, "ls", "--json", "e")), &e); err != nil || e.Path != "e/h" || e.Kind != "file" || e.Size != 7 || e.Mode != "0751" {
		t.Errorf("ls --json: %+v, %v", e, err)
	}
}

// TestCommandExitCodes: nothing that was not done ends with 0.
func TestCommandExitCodes(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, unmounted, shortPatience)
	b.bucket.Put(keys+"f", "x", nil)
	b.bucket.Put(keys+"big", random(1<<20), nil)
	dir := local(t, `echo y > y; mkdir -p d/e; echo z > d/z; mkfifo d/fifo; mkdir blocked; echo file > blocked/e`)
	b.bucket.Put(keys+"dirs/e/x", "x", nil)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "Usage:"},
		{"frobnicate", 2, "no command"},
		{"put", 2, "Usage:"},
		{"get --json f -", 2, "standard output"},
		{"ls nothing", 1, "no such file"},
		{"get nothing", 1, "no such file"},
		{"rm nothing", 1, "no such file"},
		{"rm dirs", 1, "directory not empty"},
		{"put nothing", 1, "no such file"},
		{"put /dev/null", 1, "no file or directory"},
		{"put y f/below", 1, "not a directory"},
		{"put d f", 1, "not a directory"},
		{"put y ../../escape", 1, "invalid argument"},
		{"get f ../" + strings.Repeat("n", 300), 1, "name too long"},
		{"get dirs blocked", 1, "something else has its name"},
		{"put d", 0, `"d/fifo" is left out`},
		{"get f", 0, ""},
		{"sync", 0, ""},
		{"help", 0, ""},
	} {
		_, said, code := b.run(dir, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%q ended with %d, not %d: %s", c.args, code, c.code, said)
		}
	}
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "denied"}, Do: testbed.Refuse(403, "AccessDenied")})
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/big"}, Do: testbed.Truncate(1000)})
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"put", "y", "denied"}, contract.ExitUnsaved, "access denied"},
		{[]string{"put", "d", "other/"}, 0, ""},
		{[]string{"sync"}, contract.ExitUnsaved, "access denied"},
		{[]string{"get", "big"}, 1, "big"},
	} {
		if _, said, code := b.run(dir, c.args...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%q ended with %d, not %d: %s", c.args, code, c.code, said)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || fmt.Sprint(left) != fmt.Sprint(mustReadDir(t, dir)) || strings.Contains(fmt.Sprint(left), ".sandbox-get") || strings.Contains(fmt.Sprint(left), "big") {
		t.Errorf("a get that failed has left %v", left)
	}
	b.proxy.ClearFaults()
	b.stop()
	if _, said, code := b.run(dir, "ls"); code != 1 || !strings.Contains(said, "sandbox-init status") {
		t.Errorf("without storage: %d, %s", code, said)
	}
}

func mustReadDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCommandWritesNowhereElse: a link in the place of a directory leads nothing out of the directory
// that is fetched into.
func TestCommandWritesNowhereElse(t *testing.T) {
	t.Parallel()
	b := newBed(t, unmounted)
	b.bucket.Put(keys+"d/sub/f", "x", nil)
	b.bucket.Put(keys+"d/g", "y", nil)
	dir := local(t, `mkdir d outside; ln -s ../outside d/sub; echo precious > outside/g; ln -s ../outside/g d/g`)
	if _, said, code := b.run(dir, "get", "d"); code != 1 || !strings.Contains(said, "something else has its name") {
		t.Errorf("it ended with %d: %s", code, said)
	}
	if got := treeOf(t, filepath.Join(dir, "outside")); strings.Contains(got, "f ") || !strings.Contains(got, "g 644 9 ") {
		t.Errorf("outside are %s", got)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "d/g")); err != nil || string(got) != "y" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

// TestCommandJSON reads what --json says while it goes on, and at the end.
func TestCommandJSON(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, unmounted)
	dir := local(t, `mkdir d; echo 1 > d/one; echo 22 > d/two; echo 333 > d/three`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "two"}, Do: gate})
	cmd := b.command(dir, "put", "--json", "d")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	did := map[string]string{}
	var last client.Totals
	for r := bufio.NewScanner(out); r.Scan(); {
		var l client.Line
		if err := json.Unmarshal(r.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", r.Bytes(), err)
		}
		switch {
		case l.Path != "":
			did[l.Path] = l.Action
		case !l.Done: // it has taken two seconds
			if l.AllFiles != 3 || l.AllBytes != 9 || l.Files != 2 {
				t.Errorf("while it goes on: %+v", *l.Totals)
			}
			gate.Open()
		default:
			last = *l.Totals
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(did) != "map[d/one:stored d/three:stored d/two:stored]" || last != (client.Totals{Done: true, Files: 3, Bytes: 9, AllFiles: 3, AllBytes: 9}) {
		t.Errorf("it did %v, and in all %+v", did, last)
	}
}

// TestCommandProgress reads what a terminal shows of a get that takes longer than two seconds.
func TestCommandProgress(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, unmounted)
	b.bucket.Put(keys+"d/f", random(300_000), nil)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "d/f"}, Do: gate})
	master, terminal := openTerminal(t)
	cmd := b.command(t.TempDir(), "get", "d")
	cmd.Stderr = terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	shown := ""
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		if shown += string(buf[:n]); strings.Contains(shown, "fetched 0 of 1 files, 0 B of 300.0 kB") {
			gate.Open()
		}
		if err != nil { // EIO: the last who had the other end has closed it
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(shown, "\r\x1b[Kfetched 1 files (300.0 kB), 0 unchanged, 0 left out, 0 failed\r\n") {
		t.Errorf("it showed %q", shown)
	}
}

// openTerminal makes a pseudoterminal (pts(4)).
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}
