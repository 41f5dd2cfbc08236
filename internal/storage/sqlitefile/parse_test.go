package sqlitefile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// sqlite3 runs the real program.
func sqlite3(t testing.TB, db string, commands ...string) {
	t.Helper()
	if _, err := ledger.Run(db, commands...); err != nil {
		t.Fatal(err)
	}
}

// sink is a copy of a database in memory, which does not grow beyond what a test can hold.
type sink struct{ size int64 }

func (s *sink) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("written before the beginning")
	}
	s.size = max(s.size, off+int64(len(b)))
	return len(b), nil
}

// killedProgram is the program sqlite3, whose last command ends it by SIGKILL. Its temporary files, which
// it then leaves, are in a directory of the test.
func killedProgram(t testing.TB, path string, commands ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sqlite3", append([]string{"-batch", path}, commands...)...)
	cmd.Env = append(os.Environ(), "SQLITE_TMPDIR="+t.TempDir())
	return cmd
}

// members are a log and a journal that SQLite has left.
func members(f *testing.F) (log, journal []byte) {
	f.Helper()
	for _, c := range []struct {
		mode, suffix string
		to           *[]byte
	}{{"wal", LogSuffix, &log}, {"delete", JournalSuffix, &journal}} {
		path := filepath.Join(f.TempDir(), "x.db")
		sqlite3(f, path, "PRAGMA page_size=512", "PRAGMA journal_mode="+c.mode, "CREATE TABLE t(x); INSERT INTO t VALUES(randomblob(3000));")
		_ = killedProgram(f, path, "PRAGMA cache_size=2; INSERT INTO t VALUES(1)", "BEGIN", "UPDATE t SET x = randomblob(20000)", ".shell kill -9 $PPID").Run()
		b, err := os.ReadFile(path + c.suffix)
		if err != nil || len(b) == 0 {
			f.Fatalf("no %s: %v", c.suffix, err)
		}
		*c.to = b
	}
	return log, journal
}

// What is read of a log ends with a whole transaction and lies within the database, with any bytes in the log.
func FuzzLog(f *testing.F) {
	log, _ := members(f)
	f.Add(log)
	f.Add(log[:len(log)-100])
	f.Add(log[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		w, ok := ParseLog(b)
		if !ok {
			return
		}
		r := bytes.NewReader(b)
		last, err := w.LastCommit(context.Background(), r, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if last == 0 {
			return
		}
		if int64(last) > int64(len(b))/int64(walFrameHeader+w.PageSize) {
			t.Fatalf("%d frames in %d bytes", last, len(b))
		}
		if size, err := w.Apply(context.Background(), r, last, &sink{}); err != nil || size <= 0 || size%int64(w.PageSize) != 0 {
			t.Fatalf("size %d, %v", size, err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	_, journal := members(f)
	f.Add(journal)
	f.Add(journal[:len(journal)/2])
	f.Add(append(bytes.Clone(journal), "\x00\x00\x00\x05x.db-\x00\x00\x00\x00\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, ok, err := OpenRollback(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if _, err := j.SuperName(); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		to := &sink{}
		size, err := j.Apply(context.Background(), to)
		if err != nil || to.size > size {
			t.Fatalf("%d bytes were written for a size of %d: %v", to.size, size, err)
		}
	})
}
