package upload

import (
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
)

func TestWay(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, e := range []journal.Entry{{Path: "file", Key: "file"}, {Path: "dir/x", Key: "dir/x"}, {Path: "empty", Key: "empty/"}} {
		if err := j.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	w := way{names: map[string]bool{}}
	enter := func(name string, force bool, want string) (leave func()) {
		t.Helper()
		leave, got := w.enter(name, force, j)
		if got != want {
			t.Errorf("%q: %q is in the way, want %q", name, got, want)
		}
		return leave
	}
	for name, want := range map[string]string{
		"file": "", "file/x": "file", "file/a/b": "file", "dir": "dir/x", "dir/": "", "dir/y": "", "dirt": "", "empty/x": "", "other": "",
	} {
		if leave := enter(name, false, want); leave != nil {
			leave()
		}
		if leave := enter(name, true, ""); leave != nil { // it was looked at, and stays
			leave()
		}
	}
	for a, b := range map[string]string{"p": "p/x", "q/r/s": "q", "m": "m/"} {
		leave := enter(a, true, "")
		want := a
		if got := enter(b, true, want); got != nil {
			got()
		}
		enter(a+"t", true, "")() // a name of its own
		leave()
		enter(b, true, "")()
	}
}
