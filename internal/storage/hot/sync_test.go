package hot

import (
	"os"
	"slices"
	"testing"
	"time"
)

func wantKeys(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func TestChangesArrive(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a.txt", "one")
	s.write("dir/sub/b.txt", "two")
	check(t, os.Symlink("../a.txt", s.path("dir/link")))
	check(t, os.Mkdir(s.path("empty"), 0o755))
	s.saved()
	s.want("a.txt", "one")
	s.want("dir/sub/b.txt", "two")
	s.want("dir/link", "../a.txt")
	wantKeys(t, s.keys(), "a.txt", "dir/sub/b.txt", "dir/link", "empty/")

	s.write("a.txt", "changed")
	s.remove("dir/sub")
	s.rename("dir/link", "empty/link")
	s.saved()
	s.want("a.txt", "changed")
	s.want("empty/link", "../a.txt")
	wantKeys(t, s.keys(), "a.txt", "dir/", "empty/", "empty/link")
	if st := s.e.Status(); st.State != "synced" || st.DirtyFiles != 0 || st.Files != 4 {
		t.Errorf("status %+v", st)
	}
}

// No command asks for it: changes go up by themselves.
func TestChangesArriveByThemselves(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.eventually("a is in S3", func() bool { _, ok := s.bucket.Get(prefix + "a"); return ok })
	s.remove("a")
	s.eventually("a is gone from S3", func() bool { _, ok := s.bucket.Get(prefix + "a"); return !ok })
	f, err := os.Create(s.path("busy"))
	check(t, err)
	defer f.Close()
	stop := time.After(20 * time.Second)
	for {
		_, err := f.WriteString("never quiet\n")
		check(t, err)
		if _, ok := s.bucket.Get(prefix + "busy"); ok {
			break
		}
		select {
		case <-stop:
			t.Fatal("a file that is written all the time never arrives")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestFlushSavesAndHydrateBringsBack(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.write("d/b", "two")
	check(t, os.Chmod(s.path("d/b"), 0o640))
	check(t, os.Mkdir(s.path("secret"), 0o700))
	s.write("secret/key", "k")
	s.flushed()
	other := sandboxAt(t, s.bucket, s.proxy)
	other.start()
	other.wantFile("a", "one")
	other.wantFile("d/b", "two")
	if st, err := os.Stat(other.path("secret")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(other.path("d/b")); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", st.Mode(), err)
	}
	before := s.proxy.Count("")
	other.saved()
	if n := s.proxy.Count("") - before; n != 0 {
		t.Errorf("%d requests to save nothing", n)
	}
	other.remove("a")
	other.flushed()
	wantKeys(t, s.keys(), "d/b", "secret/", "secret/key")
}
