package sqlite

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/testbed/ledger"
	"github.com/matrx/sandbox/internal/threads"
)

// home is a directory with a database in it.
type home struct {
	t    testing.TB
	dir  string
	root *tree.Root
	d    *tree.Dir
	gate threads.Gate
}

func newHome(t testing.TB) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir()}
	var err error
	if h.root, err = tree.Open(h.dir); err != nil {
		t.Fatal(err)
	}
	if h.d, err = h.root.OpenDir(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.d.Close(); h.root.Close() })
	return h
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// take writes a snapshot of x.db to a file of its own.
func (h *home) take() (path string, err error) {
	h.t.Helper()
	const name = "x.db"
	db, err := h.d.Open(name)
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	s, err := Open(h.t.Context(), h.d, name, db, h.gate)
	if err != nil {
		return "", err
	}
	defer s.Close()
	f, err := os.Create(filepath.Join(h.t.TempDir(), "snapshot.db"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err = s.CopyTo(h.t.Context(), f, false); err == nil {
		h.wantImage(s, f.Name())
	}
	return f.Name(), err
}

// wantImage wants what is put together while it is read to be the copy.
func (h *home) wantImage(s *Snapshot, path string) {
	h.t.Helper()
	want := read(h.t, path)
	i, err := s.Image(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	defer i.Close()
	got := make([]byte, i.Size())
	for off := 0; off < len(got); off += 1000 {
		if _, err := i.ReadAt(got[off:min(off+1000, len(got))], int64(off)); err != nil {
			h.t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		h.t.Fatalf("the image has %d bytes, the copy %d, and they differ at %d", len(got), len(want), differ(got, want))
	}
}

// Three processes write and are killed at random; every snapshot is a state that was once true, and
// has all that was committed before it was begun.
func TestSnapshotBesideThreeWriters(t *testing.T) {
	for _, mode := range ledger.Modes {
		t.Run(string(mode), func(t *testing.T) {
			h := newHome(t)
			ledger.Create(t, h.path("x.db"), mode)
			var writers [3]*ledger.Writer
			for i := range writers {
				writers[i] = ledger.Start(t, i, mode, h.path("x.db"))
			}
			taken := 0
			for n := range rounds {
				<-time.After(rand.N(20 * time.Millisecond))
				// What they leave is read before another process mends it.
				killed := rand.Perm(len(writers))[:max(0, rand.IntN(7)-3)]
				for _, i := range killed {
					writers[i].Kill()
				}
				var before [3]int64
				for i, w := range writers {
					before[i] = w.Last()
				}
				path, err := h.take()
				for _, i := range killed {
					writers[i] = ledger.Start(t, i, mode, h.path("x.db"))
				}
				if errors.Is(err, ErrBusy) || errors.Is(err, ErrChanged) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				taken++
				state, err := ledger.Check(path)
				if err != nil {
					t.Fatalf("snapshot %d: %v", n, err)
				}
				for i, last := range before {
					if state[i] < last {
						t.Fatalf("snapshot %d has %d entries of writer %d, which had committed %d", n, state[i], i, last)
					}
				}
			}
			if taken < rounds/2 {
				t.Errorf("only %d of %d snapshots could be taken", taken, rounds)
			}
			t.Logf("%d snapshots", taken)
		})
	}
}

const rounds = 30

// A snapshot needs one place at the gate, now and then: with a single one nothing waits for itself.
func TestOnePlaceAtTheGateIsEnough(t *testing.T) {
	for _, commands := range [][]string{
		{"PRAGMA journal_mode=WAL", "CREATE TABLE t(x); INSERT INTO t VALUES(1)"},
		{"CREATE TABLE t(x); INSERT INTO t VALUES(1)", "PRAGMA cache_size=2", "BEGIN", "UPDATE t SET x = randomblob(20000)", "INSERT INTO t VALUES(randomblob(20000))"},
	} {
		h := newHome(t)
		h.gate = threads.NewGate(1)
		ledger.Crash(t, h.path("x.db"), commands...)
		path, err := h.take()
		if err != nil {
			t.Fatal(err)
		}
		if said := sqlite3(t, path, "PRAGMA integrity_check; SELECT x FROM t"); said != "ok\n1" {
			t.Errorf("the snapshot: %s", said)
		}
	}
}
