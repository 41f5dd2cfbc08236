package trash

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDirectoriesThatKeepWhatIsInThem: nothing can be moved out of one, as out of a subvolume.
func TestDirectoriesThatKeepWhatIsInThem(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"keeps/b/c/keeps/d/e", "keeps/b/f", "b/keeps/c/d", "keeps/keeps/d/e"} {
		if err := os.MkdirAll(filepath.Join(home, name, "empty"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	into, err := openDir(unix.AT_FDCWD, home)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	r := newRemover(into, never)
	r.rename = func(from int, name string, to int, as string) error {
		keeps, err := keeper(from)
		other, oerr := keeper(to)
		switch {
		case errors.Join(err, oerr) != nil:
			return errors.Join(err, oerr)
		case strings.HasPrefix(name, "keeps"): // one itself can be moved
			as = "keeps-" + as
		case keeps != other:
			return unix.EXDEV
		}
		return unix.Renameat(from, name, to, as)
	}
	if err := r.emptyTop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// keeper is the nearest directory that keeps what is in it, of an open directory.
func keeper(fd int) (string, error) {
	dir, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(fd)))
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), "keeps") {
			return dir, nil
		}
	}
	return "", err
}
