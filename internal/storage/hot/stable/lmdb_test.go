package stable

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// An environment that never rests is had as of its last transaction: what writes to its file all the time
// is one that has not ended.
func TestRestlessEnvironmentIsCopied(t *testing.T) {
	home := t.TempDir()
	w := exec.Command("/usr/bin/python3", "-c", `
import lmdb, random, sys
env = lmdb.open(sys.argv[1], map_size=256<<20, sync=False, writemap=True)
with env.begin(write=True) as txn:
    txn.put(b"a", b"committed"); txn.put(b"big", b"x" * 50_000_000)
txn = env.begin(write=True)
n = 0
while True:
    n += 1
    txn.put(b"%d" % (n % 20000), random.randbytes(3000))
    txn.put(b"a", b"not committed")
    if n == 1000: print("ready", flush=True)
`, home)
	out, err := w.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Stderr = os.Stderr
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Wait()         //nolint:errcheck // it is killed
	defer w.Process.Kill() //nolint:errcheck // it may have ended, which the next line says
	if lines := bufio.NewScanner(out); !lines.Scan() {
		t.Fatal("the writer has ended: is the package python3-lmdb installed?")
	}
	root, err := tree.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d, err := root.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	src, err := Open(t.Context(), d, "data.mdb", Options{TempDir: t.TempDir(), CopyMost: 1 << 30})
	if src == nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := src.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	f, err := os.Create(filepath.Join(copied, "data.mdb"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, io.NewSectionReader(src, 0, src.Size()))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("/usr/bin/python3", "-c", `
import lmdb, sys
with lmdb.open(sys.argv[1], readonly=True, lock=False).begin() as txn: print([(k, len(v)) for k, v in txn.cursor()])
`, copied).CombinedOutput()
	if err != nil || string(said) != "[(b'a', 9), (b'big', 50000000)]\n" {
		t.Errorf("the copy has %q, %v", said, err)
	}
}
