package sqlite

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// killedProgram is the program sqlite3, whose last command ends it by SIGKILL. Its temporary files, which
// it then leaves, are in a directory of the test.
func killedProgram(t testing.TB, path string, commands ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sqlite3", append([]string{"-batch", path}, commands...)...)
	cmd.Env = append(os.Environ(), "SQLITE_TMPDIR="+t.TempDir())
	return cmd
}

func FuzzIndex(f *testing.F) {
	f.Add(make([]byte, 2*indexHeaderSize+4))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, ok, err := readIndex(bytes.NewReader(b)); err != nil || ok && !sqlitefile.ValidPageSize(uint32(x.pageSize)) {
			t.Fatalf("%+v %v", x, err)
		}
	})
}

// Every byte of a log counts: a damaged one ends it at the transaction before.
func TestDamagedLog(t *testing.T) {
	h := newHome(t)
	sqlite3(t, h.path("x.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x)")
	_ = killedProgram(t, h.path("x.db"), "INSERT INTO t VALUES('one')", "INSERT INTO t VALUES('two')", ".shell kill -9 $PPID").Run()
	log := read(t, h.path("x.db-wal"))
	for off := sqlitefile.LogHeaderSize; off < len(log); off += 97 {
		damaged := bytes.Clone(log)
		damaged[off] ^= 0x40
		if err := os.WriteFile(h.path("x.db-wal"), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		path, err := h.take()
		if err != nil {
			t.Fatal(err)
		}
		if said := sqlite3(t, path, "PRAGMA integrity_check; SELECT count(*) FROM t"); said != "ok\n0" && said != "ok\n1" {
			t.Fatalf("with byte %d damaged: %s", off, said)
		}
	}
}

// A file that cannot be read is said to be, and reading one disturbs no process.
func TestExclusiveIsBusy(t *testing.T) {
	h := newHome(t)
	ledger.Create(t, h.path("x.db"), ledger.Delete)
	hold := exec.Command("sqlite3", "-batch", h.path("x.db"), "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE", ".shell echo held", ".shell cat")
	in, _ := hold.StdinPipe()
	out, _ := hold.StdoutPipe()
	if err := hold.Start(); err != nil {
		t.Fatal(err)
	}
	defer hold.Wait() //nolint:errcheck // it is of no interest
	defer in.Close()
	var b [64]byte
	for said := ""; ; {
		n, err := out.Read(b[:])
		if said += string(b[:n]); bytes.Contains([]byte(said), []byte("held")) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if h.atRest() {
		t.Error("it is said to rest")
	}
	if _, err := h.take(); !errors.Is(err, ErrBusy) {
		t.Errorf("the error is %v", err)
	}
}

// A database that rests is seen to do so without a lock, and one that does not is not.
func TestAtRest(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(h *home)
		rest bool
	}{
		{"closed", func(h *home) { ledger.Create(t, h.path("x.db"), ledger.Delete) }, true},
		{"closed, with a log", func(h *home) { ledger.Create(t, h.path("x.db"), ledger.WAL) }, true},
		{"a journal that is kept", func(h *home) { ledger.Create(t, h.path("x.db"), ledger.Persist) }, true},
		{"a log", func(h *home) { ledger.Crash(t, h.path("x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x)") }, false},
		{"a hot journal", func(h *home) {
			ledger.Create(t, h.path("x.db"), ledger.Delete)
			ledger.Crash(t, h.path("x.db"), "PRAGMA cache_size=2", "BEGIN", "UPDATE account SET balance = 1", "CREATE TABLE u AS SELECT a.id, hex(randomblob(100)) FROM account a, account b")
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			c.make(h)
			if got := h.atRest(); got != c.rest {
				t.Errorf("it is said to rest: %t", got)
			}
		})
	}
}

func (h *home) atRest() bool {
	h.t.Helper()
	db, err := h.d.Open("x.db")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	stats, ok := AtRest(h.d, "x.db", db)
	if s, err := Open(h.t.Context(), h.d, "x.db", db, nil); err == nil {
		if ok && (!s.Alone() || s.Stats != stats) {
			h.t.Errorf("under the locks it is %+v, without them %+v", s.Stats, stats)
		}
		s.Close()
	}
	return ok
}

// A snapshot keeps its locks to itself: descriptors of the same file that are closed meanwhile take none away.
func TestLocksOutliveOtherDescriptors(t *testing.T) {
	h := newHome(t)
	ledger.Create(t, h.path("x.db"), ledger.Delete)
	db, err := h.d.Open("x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := Open(t.Context(), h.d, "x.db", db, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(h.path("x.db"))
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	write := func() error {
		return exec.Command("sqlite3", "-batch", "-bail", h.path("x.db"), "UPDATE account SET balance = balance").Run()
	}
	if write() == nil {
		t.Error("a writer committed under the shared lock")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("after the locks were given up: %v", err)
	}
}
