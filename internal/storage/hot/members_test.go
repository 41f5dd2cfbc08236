package hot

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// crashed leaves a database with a row in its file and one in its log.
func crashed(t *testing.T, path string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	_, err := ledger.Run(path, "PRAGMA journal_mode=WAL", "CREATE TABLE t(x); INSERT INTO t VALUES('in the file')")
	check(t, err)
	ledger.Crash(t, path, "INSERT INTO t VALUES('in the log')")
	if i, err := os.Stat(path + "-wal"); err != nil || i.Size() == 0 {
		t.Fatalf("no log was left: %v", err)
	}
}

const both = "in the file\nin the log"

// rows are those of a database, which is opened where it lies.
func rows(t *testing.T, path string) string {
	t.Helper()
	said, err := ledger.Run(path, "PRAGMA integrity_check", "SELECT x FROM t ORDER BY x")
	if err != nil {
		t.Fatal(err)
	}
	rows, ok := strings.CutPrefix(said, "ok\n")
	if !ok {
		t.Errorf("%s: %s", path, said)
	}
	return rows
}

// storedRows are those of a database's object, alone.
func (s *sandbox) storedRows(name string) string {
	s.t.Helper()
	o, ok := s.bucket.Get(prefix + name)
	if !ok {
		s.t.Fatalf("S3 has no %s, but %q", name, s.keys())
	}
	path := filepath.Join(s.t.TempDir(), "object.db")
	check(s.t, os.WriteFile(path, o.Body, 0o600))
	return rows(s.t, path)
}

func (s *sandbox) wantKeys(keys ...string) {
	s.t.Helper()
	if got := s.keys(); !slices.Equal(got, keys) {
		s.t.Errorf("S3 has %q, want %q", got, keys)
	}
}

// put lays files of a directory down as a tool does that knows nothing of databases.
func (s *sandbox) put(dir string, names ...string) {
	s.t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		check(s.t, err)
		s.bucket.Put(prefix+name, string(b), nil)
	}
}

func TestDatabaseIsOneObject(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.saved()
	s.wantKeys("x.db")
	if got := s.storedRows("x.db"); got != both {
		t.Errorf("S3 has %q", got)
	}
	// The log goes into the database: nothing has changed but where it is.
	_, err := ledger.Run(s.path("x.db"), "PRAGMA wal_checkpoint(TRUNCATE)")
	check(t, err)
	s.saved()
	s.wantKeys("x.db")
	s.flushed()
}

func TestHotJournalIsRolledBack(t *testing.T) {
	s := newSandbox(t).start()
	_, err := ledger.Run(s.path("x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('before')")
	check(t, err)
	ledger.Crash(t, s.path("x.db"), "PRAGMA cache_size=2", "BEGIN", "UPDATE t SET x = 'inside'",
		"WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x < 500) INSERT INTO t SELECT hex(randomblob(100)) FROM c")
	s.saved()
	s.wantKeys("x.db")
	if got := s.storedRows("x.db"); got != "before" {
		t.Errorf("S3 has %.100q", got)
	}
	s.flushed()
}

// The log of an old workspace has an object of its own, which goes when the database's has taken its place.
func TestStoredLogIsReplaced(t *testing.T) {
	old := t.TempDir()
	crashed(t, filepath.Join(old, "x.db"))
	s := newSandbox(t)
	s.put(old, "x.db", "x.db-wal", "x.db-shm")
	s.hydrate()
	s.wantFile("x.db-wal", string(readFile(t, filepath.Join(old, "x.db-wal"))))
	s.run()
	s.eventually("the log's object goes", func() bool { return slices.Equal(s.keys(), []string{"x.db"}) })
	if got := s.storedRows("x.db"); got != both {
		t.Errorf("S3 has %q", got)
	}
	if got := rows(t, s.path("x.db")); got != both {
		t.Errorf("the home has %q", got)
	}
	s.flushed()
	s.wantKeys("x.db")
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

// While the database cannot be stored, the object of its log stays: the two together are what S3 has of it.
func TestStoredLogStaysWhileItsDatabaseIsRefused(t *testing.T) {
	old := t.TempDir()
	crashed(t, filepath.Join(old, "x.db"))
	s := newSandbox(t)
	s.put(old, "x.db", "x.db-wal")
	refused := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/x.db"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.start()
	// SQLite moves the log into the database and removes it.
	if got := rows(t, s.path("x.db")); got != both {
		t.Fatalf("the home has %q", got)
	}
	f := s.flush()
	s.wantUnsaved(f, "x.db", "x.db-wal")
	if f.Took > 20*time.Second {
		t.Errorf("the flush took %v", f.Took)
	}
	s.wantKeys("x.db", "x.db-wal")
	dir := t.TempDir()
	for _, name := range []string{"x.db", "x.db-wal"} {
		o, _ := s.bucket.Get(prefix + name)
		check(t, os.WriteFile(filepath.Join(dir, name), o.Body, 0o600))
	}
	if got := rows(t, filepath.Join(dir, "x.db")); got != both {
		t.Errorf("S3 has %q", got)
	}
	refused.Remove()
	s.flushed()
	s.wantKeys("x.db")
}

// A sandbox that dies between the two requests leaves a log that is older than its database.
func TestReplacedLogIsNotHydrated(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	stale := readFile(t, s.path("x.db-wal"))
	_, err := ledger.Run(s.path("x.db"), "DELETE FROM t; INSERT INTO t VALUES('later')")
	check(t, err)
	s.flushed()
	s.bucket.Put(prefix+"x.db-wal", string(stale), nil)
	whole, _ := s.bucket.Get(prefix + "x.db")
	s.bucket.Put(prefix+"x.db", string(whole.Body), whole.Metadata) // as old as the log
	next := sandboxAt(t, s.bucket, s.proxy)
	next.start()
	if _, err := os.Lstat(next.path("x.db-wal")); err == nil {
		t.Error("the log was hydrated")
	}
	if got := rows(t, next.path("x.db")); got != "later" {
		t.Errorf("the next sandbox has %q", got)
	}
	next.saved()
	next.flushed()
	next.wantKeys("x.db")
}

// A log that was written after the whole database is a part of it: a sandbox of an earlier version has
// worked on.
func TestNewerLogIsHydrated(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	_, err := ledger.Run(s.path("x.db"), "PRAGMA wal_checkpoint(TRUNCATE)")
	check(t, err)
	s.flushed()
	whole, _ := s.bucket.Get(prefix + "x.db")
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	for {
		s.put(s.home, "x.db-wal")
		if log, _ := s.bucket.Get(prefix + "x.db-wal"); log.LastModified.Unix() > whole.LastModified.Unix() {
			break
		}
	}
	next := sandboxAt(t, s.bucket, s.proxy)
	next.start()
	next.eventually("the log's object goes", func() bool { return slices.Equal(next.keys(), []string{"x.db"}) })
	if got := next.storedRows("x.db"); got != both+"\nmore" {
		t.Errorf("S3 has %q", got)
	}
	next.flushed()
}

// A restarted container whose database was replaced in S3 has theirs, without its own log.
func TestForeignLogIsRemoved(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.flushed()
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	s.start()
	if got := rows(t, s.path("x.db")); got != "theirs" {
		t.Errorf("the home has %q", got)
	}
	s.flushed()
	s.wantKeys("x.db")
}

// A database that was replaced in S3 by one that cannot be read keeps its log.
func TestDatabaseKeepsItsLogWhileTheirsCannotBeRead(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.write("other", "x")
	s.flushed()
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/x.db"}, Do: testbed.Refuse(403, "InvalidObjectState")})
	s.hydrate()
	s.kill()
	if got := rows(t, s.path("x.db")); got != both {
		t.Errorf("the home has %q", got)
	}
}

// What was changed on both sides becomes a conflict copy with all its files.
func TestConflictCopyOfADatabaseIsWhole(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.flushed()
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	s.start()
	if got := rows(t, s.path("x.db")); got != "theirs" {
		t.Errorf("the home has %q", got)
	}
	s.saved()
	keys := s.keys()
	if len(keys) != 2 || !strings.HasPrefix(keys[1], "x.db.conflict-") {
		t.Fatalf("S3 has %q", keys)
	}
	if got := s.storedRows(keys[1]); got != both+"\nmore" {
		t.Errorf("the conflict copy has %q", got)
	}
	s.flushed()
}

// Others write the object while the sandbox runs.
func TestConflictCopyOfARunningDatabaseIsWhole(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.saved()
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	s.saved()
	if got := rows(t, s.path("x.db")); got != "theirs" {
		t.Errorf("the home has %q", got)
	}
	keys := s.keys()
	if len(keys) != 2 || !strings.HasPrefix(keys[1], "x.db.conflict-") {
		t.Fatalf("S3 has %q", keys)
	}
	if got := s.storedRows(keys[1]); got != both+"\nmore" {
		t.Errorf("the conflict copy has %q", got)
	}
	s.flushed()
}

// Others write the object, and before the local database gets its conflict copy's name another database, with a log,
// takes its place: that one is whole, under the name that it has in the end.
func TestReplacedDatabaseKeepsItsLogInAConflict(t *testing.T) {
	s := newSandbox(t)
	s.probe = true // the server ignores a copy's conditions
	s.start()
	crashed(t, s.path("x.db"))
	s.saved()
	crashed(t, s.path("aside/new.db"))
	s.saved()
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "HEAD", Suffix: "/hot/x.db"}, Times: 1, Do: gate})
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("nobody asks whose the object is")
	}
	for _, suffix := range []string{"-wal", ""} {
		s.rename("aside/new.db"+suffix, "x.db"+suffix)
	}
	gate.Open()
	s.saved()
	s.eventually("theirs has the name", func() bool {
		_, err := os.Lstat(s.path("x.db"))
		_, noLog := os.Lstat(s.path("x.db-wal"))
		return len(s.copies("x.db")) > 0 && err == nil && errors.Is(noLog, fs.ErrNotExist)
	})
	if got := rows(t, s.path("x.db")); got != "theirs" {
		t.Errorf("the home has %q", got)
	}
	whole := false
	for _, name := range s.copies("x.db") {
		whole = whole || filepath.Ext(name) != "" && !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") && rows(t, s.path(name)) == both
	}
	if !whole {
		t.Errorf("the database that came to the name has lost its log: %q", s.copies(""))
	}
	s.flushed()
}

// A log that a deleted database has left behind is moved aside when another sandbox's database comes back to
// the name.
func TestLeftLogIsMovedAsideForARestoredDatabase(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.saved()
	theirs := t.TempDir()
	_, err := ledger.Run(filepath.Join(theirs, "x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('theirs')")
	check(t, err)
	s.put(theirs, "x.db")
	check(t, os.Remove(s.path("x.db")))
	s.eventually("theirs is fetched", func() bool { _, err := os.Lstat(s.path("x.db")); return err == nil })
	if got := rows(t, s.path("x.db")); got != "theirs" {
		t.Errorf("the home has %q", got)
	}
	s.saved()
	if !slices.ContainsFunc(s.keys(), func(k string) bool { return strings.HasPrefix(k, "x.db-wal.conflict-") }) {
		t.Errorf("the log was not kept: %q", s.keys())
	}
	s.flushed()
}

// A restarted container compares databases, not files.
func TestDatabaseIsUnchangedAfterARestart(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.flushed()
	before := s.bucket.ETags(prefix)["x.db"]
	s.start()
	if c := s.saved(); c.Files != 0 {
		t.Errorf("%d files went up", c.Files)
	}
	if after := s.bucket.ETags(prefix)["x.db"]; after != before {
		t.Error("the object was written anew")
	}
	s.kill()
	// A change of the log alone is a change.
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	s.start()
	s.saved()
	if got := s.storedRows("x.db"); got != both+"\nmore" {
		t.Errorf("S3 has %q", got)
	}
	s.flushed()
}

func TestDatabaseIsRenamedAndDeleted(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	s.saved()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		s.rename("x.db"+suffix, "y.db"+suffix)
	}
	s.saved()
	s.wantKeys("y.db")
	if got := s.storedRows("y.db"); got != both {
		t.Errorf("S3 has %q", got)
	}
	// A log without its database is a file of its own, until the database comes back.
	s.rename("y.db", "z.db")
	s.saved()
	s.wantKeys("y.db-shm", "y.db-wal", "z.db")
	s.rename("z.db", "y.db")
	s.saved()
	s.eventually("the log's object goes", func() bool { return slices.Equal(s.keys(), []string{"y.db"}) })
	if got := s.storedRows("y.db"); got != both {
		t.Errorf("S3 has %q", got)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		s.remove("y.db" + suffix)
	}
	s.saved()
	s.wantKeys()
	s.flushed()
}

// Names alone make no database.
func TestNamesOfOrdinaryFiles(t *testing.T) {
	s := newSandbox(t).start()
	s.write("notes", "a")
	s.write("notes-journal", "b")
	s.write("notes-wal", "c")
	s.saved()
	s.wantKeys("notes", "notes-journal", "notes-wal")
	s.remove("notes-journal")
	s.saved()
	s.wantKeys("notes", "notes-wal")
	s.flushed()
	s.start()
	s.wantFile("notes-wal", "c")
	s.flushed()
}

// A link beside a database is a name of its own, under every name.
func TestLinkBesideADatabaseIsKept(t *testing.T) {
	s := newSandbox(t).start()
	crashed(t, s.path("x.db"))
	check(t, os.Symlink("elsewhere", s.path("x.db-journal")))
	s.saved()
	s.wantKeys("x.db", "x.db-journal")
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	s.flushed()
	next := sandboxAt(t, s.bucket, s.proxy).start()
	if target, err := os.Readlink(next.path("x.db-journal")); err != nil || target != "elsewhere" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	next.saved()
	next.wantKeys("x.db", "x.db-journal")
	next.remove("x.db-journal")
	next.saved()
	next.wantKeys("x.db")
	next.flushed()
}

// Rules that leave logs out, as workspaces have them from before, leave out nothing of a database.
func TestExcludedLogIsInItsDatabase(t *testing.T) {
	s := newSandbox(t)
	s.cfg.Hot.Exclude = append(slices.Clone(s.cfg.Hot.Exclude), "*-wal", "*-shm", "private.db")
	s.start()
	crashed(t, s.path("x.db"))
	crashed(t, s.path("private.db"))
	s.saved()
	s.wantKeys("x.db")
	ledger.Crash(t, s.path("x.db"), "INSERT INTO t VALUES('more')")
	s.eventually("the change is stored without a scan", func() bool { return s.storedRows("x.db") == both+"\nmore" })
	before := s.bucket.ETags(prefix)["x.db"]
	s.flushed()
	s.start()
	if c := s.saved(); c.Files != 0 || s.bucket.ETags(prefix)["x.db"] != before {
		t.Errorf("%d files went up", c.Files)
	}
	s.wantKeys("x.db")
	s.flushed()
}

// A database that its process keeps to itself stays in S3 as it was, and is named.
func TestLockedDatabaseIsNotAtRest(t *testing.T) {
	s := newSandbox(t).start()
	_, err := ledger.Run(s.path("x.db"), "CREATE TABLE t(x); INSERT INTO t VALUES('before')")
	check(t, err)
	s.saved()
	hold := exec.Command("sqlite3", "-batch", s.path("x.db"), "PRAGMA locking_mode=EXCLUSIVE", "INSERT INTO t VALUES('locked')", ".shell cat")
	in, err := hold.StdinPipe()
	check(t, err)
	check(t, hold.Start())
	s.eventually("the database is named", func() bool { return slices.Contains(s.e.Status().NotAtRest, "x.db") })
	if got := s.storedRows("x.db"); got != "before" {
		t.Errorf("S3 has %q", got)
	}
	check(t, in.Close())
	check(t, hold.Wait())
	s.flushed()
	if got := s.storedRows("x.db"); got != "before\nlocked" {
		t.Errorf("S3 has %q", got)
	}
}
