package lmdb

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// LMDB's own library, by Debian's Python.
func python(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-c", "import lmdb").CombinedOutput(); err != nil {
		t.Fatalf("this test compares with LMDB itself: install the package python3-lmdb: %v %s", err, out)
	}
	return exec.Command("/usr/bin/python3", append([]string{"-c", script}, args...)...)
}

// writer overwrites and removes values all the time, so that pages are reused; each transaction keeps the sum
// of all numbers at zero.
const writer = `
import lmdb, random, sys, time
env = lmdb.open(sys.argv[1], map_size=64<<20, writemap=sys.argv[2] == "writemap", sync=False)
n = 0
while True:
    n += 1
    with env.begin(write=True) as txn:
        total = 0
        for i in random.sample(range(300), 40):
            k = b"%05d" % i
            old = txn.get(k)
            if old: total += int(old.split()[0])
            if random.random() < 0.2: txn.delete(k); continue
            v = random.randrange(1000); total -= v
            txn.put(k, b"%d " % v + b"x" * random.randrange(3000))
        txn.put(b"rest", b"%d " % (int((txn.get(b"rest") or b"0 ").split()[0]) + total))
        txn.put(b"n", b"%d " % n)
    print(n, flush=True)
    time.sleep(random.random() * 0.003)
`

const checker = `
import lmdb, sys
env = lmdb.open(sys.argv[1], readonly=True, lock=False)
with env.begin() as txn:
    rows = {k: int(v.split()[0]) for k, v in txn.cursor()}
    assert txn.stat()["entries"] == len(rows), "entries are missing"
n = rows.pop(b"n")
assert sum(rows.values()) == 0, "the sum is %d" % sum(rows.values())
print(n)
`

func TestCopyBesideAWriter(t *testing.T) {
	for _, mode := range []string{"plain", "writemap"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			w := python(t, writer, dir, mode)
			w.Stderr = os.Stderr
			out, err := w.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for range 50 {
				lines.Scan()
			}
			followed := make(chan struct{})
			go func() {
				defer close(followed)
				for lines.Scan() {
				}
			}()
			defer func() {
				_ = w.Process.Kill()
				<-followed
				_ = w.Wait()
			}()
			taken := 0
			for range 60 {
				<-time.After(rand.N(10 * time.Millisecond))
				if copyAndCheck(t, filepath.Join(dir, "data.mdb")) {
					taken++
				}
			}
			if taken == 0 {
				t.Error("no copy could be made")
			}
			t.Logf("%d copies", taken)
		})
	}
}

func copyAndCheck(t *testing.T, data string) bool {
	t.Helper()
	from, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to := t.TempDir()
	f, err := os.Create(filepath.Join(to, "data.mdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := Copy(t.Context(), from, f)
	if errors.Is(err, ErrChanged) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if said, err := python(t, checker, to).CombinedOutput(); err != nil {
		t.Fatalf("the copy: %v\n%s", err, said)
	}
	return true
}

func TestIs(t *testing.T) {
	dir := t.TempDir()
	if out, err := python(t, `import lmdb, sys; lmdb.open(sys.argv[1]).close()`, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "data.mdb"))
	if err != nil {
		t.Fatal(err)
	}
	if !Is(b[:HeaderSize]) {
		t.Error("an environment is not known")
	}
	for name, b := range map[string][]byte{"empty": nil, "short": b[:100], "zeros": make([]byte, 4096), "text": []byte(strings.Repeat("text", 100))} {
		if Is(b) {
			t.Errorf("%s is taken for an environment", name)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(make([]byte, HeaderSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parse(b); ok && (int64(m.lastPage+1)*m.pageSize <= 0) {
			t.Fatalf("%+v", m)
		}
	})
}
