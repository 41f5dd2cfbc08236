package cold_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// cacheDir is where the file system keeps this bucket's content.
func (b *bed) cacheDir() string {
	b.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.state, "cold-cache", "*"))
	if err != nil || len(dirs) != 1 {
		b.t.Fatal(dirs, err)
	}
	return dirs[0]
}

// reboot has the next start believe that the machine was started anew.
func (b *bed) reboot() {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.cacheDir(), "boot_id"), []byte("another boot"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// pending reads the journal of a file system that does not run.
func (b *bed) pending() map[string]pending.Entry {
	b.t.Helper()
	j, found, err := pending.Open(b.cacheDir())
	if err != nil {
		b.t.Fatal(err)
	}
	j.Close()
	return found.Entries
}

// dirtyFile is the cached content of a path, of a file system that does not run.
func (b *bed) dirtyFile(path string) string {
	b.t.Helper()
	e, ok := b.pending()[path]
	if !ok || e.Data == "" {
		b.t.Fatalf("the journal has no content of %q", path)
	}
	return filepath.Join(b.cacheDir(), "dirty", e.Data)
}

// TestDamagedFileIsSetAside has a power cut leave one file of the cache torn: it is named and kept, and
// everything else is as if it had not been.
func TestDamagedFileIsSetAside(t *testing.T) {
	for name, damage := range map[string]func(*bed){
		"map without content": func(b *bed) { b.truncate(b.dirtyFile("torn")+".map", 0) },
		"map cut off":         func(b *bed) { b.truncate(b.dirtyFile("torn")+".map", 23) },
		"map of zeros": func(b *bed) {
			b.truncate(b.dirtyFile("torn")+".map", 0)
			b.truncate(b.dirtyFile("torn")+".map", 4096)
		},
		"content is a directory": func(b *bed) {
			name := b.dirtyFile("torn")
			if err := os.Remove(name); err != nil {
				b.t.Fatal(err)
			}
			if err := os.Mkdir(name, 0o700); err != nil {
				b.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy)
			body := random(4 << 20)
			b.bucket.Put(keys+"torn", body, nil)
			b.sh(`ls`)
			b.proxy.Away()
			f := open(t, b.path("torn"), os.O_WRONLY)
			if _, err := f.WriteAt([]byte(random(128<<10)), 2<<20); err != nil {
				t.Fatal(err)
			}
			b.sh(`echo kept > kept; sync kept; rm -f nothing`)
			b.kill()
			damage(b)
			b.reboot()
			b.proxy.Back()
			b.start()
			left := b.flush()
			if len(left) != 1 || left[0].Path != b.path("torn") || !strings.Contains(left[0].Reason, "damaged/") {
				t.Errorf("left: %+v", left)
			}
			if st := b.status(); len(st.Failed) != 1 || st.Failed[0].Path != b.path("torn") {
				t.Errorf("status names %+v", st.Failed)
			}
			if kept, err := os.ReadDir(filepath.Join(b.cacheDir(), pending.DamagedDir)); err != nil || len(kept) == 0 {
				t.Errorf("nothing of it is kept: %v", err)
			}
			b.bucket.Want(keys+"kept", "kept\n")
			if got, err := os.ReadFile(b.path("torn")); err != nil || string(got) != body {
				t.Errorf("the file itself has %d bytes, not S3's: %v", len(got), err)
			}
			b.stop()
			b.start()
			b.sync()
		})
	}
}

func (b *bed) truncate(name string, size int64) {
	b.t.Helper()
	if err := os.Truncate(name, size); err != nil {
		b.t.Fatal(err)
	}
}

// TestDamagedJournalKeepsContent under names that say so.
func TestDamagedJournalKeepsContent(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	b.proxy.Away()
	b.sh(`mkdir d; echo content > d/f`)
	b.kill()
	if err := os.WriteFile(filepath.Join(b.cacheDir(), "journal"), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	b.proxy.Back()
	b.start()
	left := b.flush()
	if len(left) != 1 || !strings.Contains(left[0].Path, "damaged/journal-") {
		t.Errorf("left: %+v", left)
	}
	if got := b.sh(`cat recovered-*.conflict-sb-*`); got != "content" {
		t.Errorf("reads %q", got)
	}
}

// TestContentWithoutEntryIsKept: the journal's end is lost with the machine, and the content is on the
// disk already.
func TestContentWithoutEntryIsKept(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	b.proxy.Away()
	b.sh(`echo first > first; sync first`)
	journal := filepath.Join(b.cacheDir(), "journal")
	before, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	b.sh(`echo second > second`)
	b.kill()
	if err := os.WriteFile(journal, before, 0o600); err != nil {
		t.Fatal(err)
	}
	b.reboot()
	b.proxy.Back()
	b.start()
	b.sync()
	if got := b.sh(`cat first recovered-*.conflict-sb-*; ls | wc -l`); got != "first\nsecond\n2" {
		t.Errorf("reads %q", got)
	}
}

// TestDatabaseSurvivesAPowerCut: the files of an SQLite database stay together, under their own names, or,
// where a part of one is lost, under others.
func TestDatabaseSurvivesAPowerCut(t *testing.T) {
	sqlite := `python3 - <<'P'
import os, sqlite3
c = sqlite3.connect("x.db", isolation_level=None)
c.execute("pragma journal_mode=wal"); c.execute("pragma synchronous=normal"); c.execute("pragma wal_autocheckpoint=0")
c.execute("create table t (n integer)")
c.execute("pragma wal_checkpoint(truncate)")
for n in range(50): c.execute("insert into t values (?)", (n,))
os.kill(os.getpid(), 9)
P`
	read := func(name string) string {
		return `python3 -c 'import sqlite3; c = sqlite3.connect("` + name + `"); print(c.execute("pragma integrity_check").fetchone()[0], c.execute("select count(*) from t").fetchone()[0])'`
	}
	setUp := func(t *testing.T) *bed {
		t.Parallel()
		b := newBed(t, throughProxy)
		b.sh(`ls`)
		b.proxy.Away()
		if _, err := b.agent("sh", "-c", sqlite); err == nil {
			t.Fatal("it was to be killed")
		}
		b.sh(`echo other > other`)
		b.kill()
		b.reboot()
		b.proxy.Back()
		return b
	}
	t.Run("whole", func(t *testing.T) {
		b := setUp(t)
		b.start()
		if got := b.sh(`ls`); !strings.HasPrefix(got, "other.conflict-sb-") || !strings.HasSuffix(got, "\nx.db\nx.db-shm\nx.db-wal") {
			t.Errorf("lists %q", got)
		}
		if got := b.sh(read("x.db")); got != "ok 50" {
			t.Errorf("the database says %q", got)
		}
	})
	t.Run("in part", func(t *testing.T) {
		b := setUp(t)
		if err := os.Remove(b.dirtyFile("x.db-wal")); err != nil {
			t.Fatal(err)
		}
		b.start()
		all := strings.Split(b.sh(`ls`), "\n")
		if slices.Contains(all, "x.db") || slices.Contains(all, "x.db-wal") {
			t.Errorf("a part of the database has kept its name: %q", all)
		}
		left := b.flush()
		if !slices.ContainsFunc(left, func(u contract.Unsaved) bool { return u.Path == b.path("x.db-wal") }) {
			t.Errorf("left: %+v", left)
		}
	})
}
