package conflict

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database makes the files of one, as far as package sqlite looks at them, each with a content of its own.
func database(t *testing.T) (home string, d *tree.Dir) {
	t.Helper()
	home = t.TempDir()
	for name, content := range map[string]string{"x": "SQLite format 3\x00", "x-wal": "the log", "x-shm": "the index", "other": "o"} {
		check(t, os.WriteFile(filepath.Join(home, name), []byte(content), 0o600))
	}
	root, err := tree.Open(home)
	check(t, err)
	t.Cleanup(func() { root.Close() })
	d, err = root.OpenDir("")
	check(t, err)
	t.Cleanup(func() { d.Close() })
	return home, d
}

func want(t *testing.T, home string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(home)
	check(t, err)
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("there is %s", e.Name())
		}
	}
	for name, content := range want {
		if b, err := os.ReadFile(filepath.Join(home, name)); err != nil || string(b) != content {
			t.Errorf("%s is %q, %v; want %q", name, b, err, content)
		}
	}
}

const header = "SQLite format 3\x00"

// A kill may come at any instant: before the database is renamed it has its log under the old name, and
// right after it under the new one.
func TestDatabaseHasItsLogAtEveryInstant(t *testing.T) {
	home, d := database(t)
	check(t, Move(d, "x", "y", func() error {
		want(t, home, map[string]string{"x": header, "x-wal": "the log", "x-shm": "the index", "y-wal": "the log", "y-shm": "the index", "other": "o"})
		return d.Rename("x", d, "y")
	}))
	want(t, home, map[string]string{"y": header, "y-wal": "the log", "y-shm": "the index", "other": "o"})
}

// What is not moved keeps all that it has: the database was replaced by another one meanwhile.
func TestDatabaseThatIsNotMovedKeepsItsLog(t *testing.T) {
	home, d := database(t)
	replaced := errors.New("replaced")
	if err := Move(d, "x", "y", func() error { return replaced }); !errors.Is(err, replaced) {
		t.Errorf("%v", err)
	}
	want(t, home, map[string]string{"x": header, "x-wal": "the log", "x-shm": "the index", "other": "o"})
}

// A log that is taken away or begun anew meanwhile is not brought back: its content is in the database.
func TestClosedLogDoesNotComeBack(t *testing.T) {
	for name, anew := range map[string]string{"closed": "", "begun anew": "a new log"} {
		t.Run(name, func(t *testing.T) {
			home, d := database(t)
			check(t, Move(d, "x", "y", func() error {
				check(t, os.Remove(filepath.Join(home, "x-wal")))
				if anew != "" {
					check(t, os.WriteFile(filepath.Join(home, "x-wal"), []byte(anew), 0o600))
				}
				return d.Rename("x", d, "y")
			}))
			all := map[string]string{"y": header, "y-shm": "the index", "other": "o"}
			if anew != "" {
				all["y-wal"] = anew
			}
			want(t, home, all)
		})
	}
}

// A name that is taken changes nothing.
func TestTakenNameChangesNothing(t *testing.T) {
	home, d := database(t)
	check(t, os.WriteFile(filepath.Join(home, "y-shm"), []byte("another's"), 0o600))
	if err := Move(d, "x", "y", func() error { t.Error("it is renamed"); return nil }); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	want(t, home, map[string]string{"x": header, "x-wal": "the log", "x-shm": "the index", "y-shm": "another's", "other": "o"})
}
