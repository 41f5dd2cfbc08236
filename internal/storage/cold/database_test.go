package cold_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// stored makes files of what S3 has of the database x.db, as a sandbox without memory of it would find it.
func (b *bed) stored() string {
	b.t.Helper()
	dir := b.t.TempDir()
	for k, o := range b.bucket.Objects(keys) {
		if err := os.WriteFile(filepath.Join(dir, strings.TrimPrefix(k, keys)), o.Body, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return filepath.Join(dir, "x.db")
}

// await waits for S3 to have what was done until now, while programs go on.
func (b *bed) await() {
	b.t.Helper()
	var p contract.ColdProgress
	if err := b.do("POST", contract.ControlColdSyncPath, nil, &p); err != nil || p.UnsavedCount > 0 {
		b.t.Fatalf("%v: %+v", err, p)
	}
}

// TestDatabaseIsStoredWhole: at each moment S3 has one whole state of a database that is being written, and at
// least what was committed before a sync; also when its writers were killed.
func TestDatabaseIsStoredWhole(t *testing.T) {
	needs(t, "sqlite3")
	for _, mode := range ledger.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			ledger.Create(t, b.path("x.db"), mode)
			b.await()
			writers := []*ledger.Writer{ledger.Start(t, 0, mode, b.path("x.db")), ledger.Start(t, 1, mode, b.path("x.db"))}
			check := func(what string) {
				t.Helper()
				before := []int64{writers[0].Last(), writers[1].Last()}
				b.await()
				got, err := ledger.Check(b.stored())
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				for i, n := range before {
					if got[i] < n {
						t.Errorf("%s: writer %d had committed %d before the sync, and S3 has %d", what, i, n, got[i])
					}
				}
			}
			for range 6 {
				check("written")
			}
			for _, w := range writers {
				w.Kill()
			}
			check("killed")
			for _, k := range b.bucket.Keys(keys) {
				if k != keys+"x.db" {
					t.Errorf("%s is in S3 beside the database", k)
				}
			}
			if st := b.status(); st.PendingFiles > 0 {
				t.Errorf("%d files are pending when all is in S3", st.PendingFiles)
			}
			if left := b.flush(); len(left) > 0 {
				t.Errorf("left: %+v", left)
			}
			// The same sandbox goes on with its own files.
			b.kill()
			b.start()
			if _, err := ledger.Check(b.path("x.db")); err != nil {
				t.Errorf("after a kill: %v", err)
			}
			ledger.Start(t, 2, mode, b.path("x.db")).Kill()
			b.await()
			if _, err := ledger.Check(b.stored()); err != nil {
				t.Errorf("written again: %v", err)
			}
			b.stop()
			b.forget()
			b.start()
			if _, err := ledger.Check(b.path("x.db")); err != nil {
				t.Errorf("in another sandbox: %v", err)
			}
		})
	}
}

// TestStoredLogGoes: a log that other tools stored is part of the database's object from the next write on, and
// would be applied to it once more.
func TestStoredLogGoes(t *testing.T) {
	t.Parallel()
	needs(t, "sqlite3")
	b := newBed(t, throughProxy)
	dir := t.TempDir()
	ledger.Crash(t, filepath.Join(dir, "x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x)", "INSERT INTO t VALUES('first')")
	for _, suffix := range []string{"", "-wal"} {
		body, err := os.ReadFile(filepath.Join(dir, "x.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		b.bucket.Put(keys+"x.db"+suffix, string(body), nil)
	}
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/x.db"}, Do: gate})
	ledger.Crash(t, b.path("x.db"), "INSERT INTO t VALUES('second')")
	synced := make(chan error, 1)
	go func() { synced <- b.do("POST", contract.ControlColdSyncPath, nil, nil) }()
	if !gate.WaitArrived(t.Context(), 1) {
		t.Fatal("the database is not stored")
	}
	if _, ok := b.bucket.Get(keys + "x.db-wal"); !ok {
		t.Error("the log is gone before the database's object has what it had")
	}
	gate.Open()
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	b.bucket.WantNone(keys + "x.db-wal")
	if got, err := ledger.Run(b.stored(), "SELECT x FROM t"); err != nil || got != "first\nsecond" {
		t.Errorf("S3 has %q, %v", got, err)
	}
	if got, err := ledger.Run(b.path("x.db"), "SELECT x FROM t"); err != nil || got != "first\nsecond" {
		t.Errorf("here are %q, %v", got, err)
	}
	b.sync()
	b.stop()
	b.forget()
	b.start()
	if got, err := ledger.Run(b.path("x.db"), "SELECT x FROM t"); err != nil || got != "first\nsecond" {
		t.Errorf("another sandbox has %q, %v", got, err)
	}
}

// TestConflictCopyOfDatabaseHasItsLog: the files of a database that another client replaced go together.
func TestConflictCopyOfDatabaseHasItsLog(t *testing.T) {
	t.Parallel()
	needs(t, "sqlite3")
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	ledger.Crash(t, b.path("x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x)", "INSERT INTO t VALUES('ours')")
	dir := t.TempDir()
	if _, err := ledger.Run(filepath.Join(dir, "x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x)", "INSERT INTO t VALUES('theirs')"); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(dir, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	b.bucket.Put(keys+"x.db", string(theirs), nil)
	gate.Open()
	b.await()
	ours, err := filepath.Glob(b.path("x.db.conflict-sb-*Z"))
	if err != nil || len(ours) != 1 {
		t.Fatalf("the conflict copies are %q, %v", ours, err)
	}
	for path, want := range map[string]string{b.path("x.db"): "theirs", ours[0]: "ours"} {
		if got, err := ledger.Run(path, "SELECT x FROM t"); err != nil || got != want {
			t.Errorf("%s has %q, %v", path, got, err)
		}
	}
}

// TestLogOfNoDatabase is a file as any other.
func TestLogOfNoDatabase(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sh(`echo text > notes; echo more > notes-journal; echo alone > other-wal; printf 'SQLite format 3\0rest' > d; echo no log > d-wal`)
	b.sync()
	b.bucket.Want(keys+"notes", "text\n")
	b.bucket.Want(keys+"notes-journal", "more\n")
	b.bucket.Want(keys+"other-wal", "alone\n")
	b.bucket.WantNone(keys + "d-wal")
	b.sh(`rm d`)
	b.sync()
	b.bucket.Want(keys+"d-wal", "no log\n")
}

// TestBytesSentOfDatabase with a log follow what was changed.
func TestBytesSentOfDatabase(t *testing.T) {
	t.Parallel()
	needs(t, "sqlite3")
	b := newBed(t, throughProxy)
	fill := "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x < 30000) INSERT INTO t SELECT x, randomblob(1000) FROM c"
	if _, err := ledger.Run(b.path("x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x INTEGER PRIMARY KEY, y)", fill); err != nil {
		t.Fatal(err)
	}
	b.sync()
	for _, n := range []string{"100", "20000", "29999"} {
		b.proxy.Forget()
		ledger.Crash(t, b.path("x.db"), "PRAGMA wal_autocheckpoint=0", "UPDATE t SET y = 'changed' WHERE x = "+n)
		b.sync()
		if sent := b.proxy.Sent(); sent > 16<<20 {
			t.Errorf("a change of row %s sends %d bytes", n, sent)
		}
		if got, err := ledger.Run(b.stored(), "PRAGMA integrity_check", "SELECT y FROM t WHERE x = "+n); err != nil || got != "ok\nchanged" {
			t.Fatalf("S3 has %q, %v", got, err)
		}
	}
	// The log goes, and with it what the object had from it.
	if _, err := ledger.Run(b.path("x.db"), "PRAGMA wal_checkpoint(TRUNCATE)", "UPDATE t SET y = 'last' WHERE x = 5"); err != nil {
		t.Fatal(err)
	}
	b.sync()
	if got, err := ledger.Run(b.stored(), "PRAGMA integrity_check", "SELECT count(*) FROM t WHERE y IN ('changed', 'last')"); err != nil || got != "ok\n4" {
		t.Errorf("S3 has %q, %v", got, err)
	}
	b.stop()
	b.forget()
	b.start()
	if got, err := ledger.Run(b.path("x.db"), "PRAGMA integrity_check", "SELECT count(*) FROM t WHERE y IN ('changed', 'last')"); err != nil || got != "ok\n4" {
		t.Errorf("another sandbox has %q, %v", got, err)
	}
}

// TestObjectOfDatabaseWhoseLogIsGone: what the object had from a log or a journal is sent anew from the
// database's file when that has gone, though nothing has written there since. A journal that goes is a commit.
func TestObjectOfDatabaseWhoseLogIsGone(t *testing.T) {
	needs(t, "sqlite3")
	for name, change := range map[string][]string{
		"-wal":     {"PRAGMA wal_autocheckpoint=0", "UPDATE t SET y = 'changed' WHERE x BETWEEN 20000 AND 20100"},
		"-journal": {"PRAGMA journal_mode=DELETE", "PRAGMA cache_size=2", "BEGIN", "UPDATE t SET y = 'changed' WHERE x BETWEEN 20000 AND 20100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy)
			fill := "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x < 30000) INSERT INTO t SELECT x, randomblob(1000) FROM c"
			if _, err := ledger.Run(b.path("x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x INTEGER PRIMARY KEY, y)", fill); err != nil {
				t.Fatal(err)
			}
			b.sync()
			ledger.Crash(t, b.path("x.db"), change...)
			b.await()
			b.proxy.Forget()
			b.sh(`rm x.db` + name + `; rm -f x.db-shm`)
			b.sync()
			here, err := os.ReadFile(b.path("x.db"))
			if err != nil {
				t.Fatal(err)
			}
			b.bucket.Want(keys+"x.db", string(here))
			if sent := b.proxy.Sent(); sent > 16<<20 {
				t.Errorf("%d bytes are sent", sent)
			}
		})
	}
}

// TestSyncWaitsForNothingLater: a sync ends although what it waits for is changed again while it is sent.
func TestSyncWaitsForNothingLater(t *testing.T) {
	needs(t, "sqlite3")
	for name, c := range map[string]struct{ file, script string }{
		"file":     {"log", `echo line >> log`},
		"database": {"x.db", `sqlite3 x.db "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)" ".shell kill -9 \$PPID" > /dev/null || true`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy, quiet(time.Hour)) // it goes up when the sync asks for it
			b.sh(`ls`)
			first, second := testbed.Hold(), testbed.Hold()
			put := testbed.Match{Verb: "PUT", Suffix: "/" + c.file}
			b.proxy.Add(testbed.Fault{When: put, Times: 1, Do: first})
			b.proxy.Add(testbed.Fault{When: put, After: 1, Do: second})
			b.sh(c.script)
			synced := make(chan error, 1)
			go func() { synced <- b.do("POST", contract.ControlColdSyncPath, nil, nil) }()
			if !first.WaitArrived(t.Context(), 1) {
				t.Fatal("it does not go up")
			}
			b.sh(c.script)
			first.Open()
			select {
			case err := <-synced:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("the sync waits for what was changed after it began")
			}
			second.Open()
			b.await()
		})
	}
}
