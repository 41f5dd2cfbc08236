package stable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// A database has a version where a disk is too full for a copy of it: when no process is left that could
// write, its files are read in place.
func TestDatabaseOnAFullDisk(t *testing.T) {
	home := t.TempDir()
	ledger.Crash(t, filepath.Join(home, "x.db"), "PRAGMA journal_mode=WAL", "CREATE TABLE t(x); INSERT INTO t VALUES('in the log')")
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
	// A directory that is not there has no room.
	full := Options{TempDir: filepath.Join(home, "missing"), Small: 64 << 10, Buffer: func(n int) []byte { return make([]byte, n) }}
	src, err := Open(t.Context(), d, "x.db", full)
	if err == nil {
		t.Log("this file system has clones, which need no room")
		src.Close()
	} else if !errors.Is(err, ErrNotAtRest) {
		t.Errorf("beside processes: %v", err)
	}
	full.Quiesced = true
	src, err = Open(t.Context(), d, "x.db", full)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sum, err := src.Sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "read.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, io.NewSectionReader(src, 0, src.Size()))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if said, err := ledger.Run(path, "PRAGMA integrity_check; SELECT x FROM t"); err != nil || said != "ok\nin the log" {
		t.Errorf("it has %q, %v", said, err)
	}
	again, err := Open(t.Context(), d, "x.db", Options{TempDir: t.TempDir(), Quiesced: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if copied, err := again.Sum(t.Context()); err != nil || copied != sum {
		t.Errorf("a copy is another one: %v", err)
	}
	if src.Local() != again.Local() {
		t.Errorf("the states are %+v and %+v", src.Local(), again.Local())
	}
}
