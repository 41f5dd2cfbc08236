package hot

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed"
)

// rm -rf ~/* by the workload empties S3.
func TestEmptiedByTheWorkload(t *testing.T) {
	s := newSandbox(t).start()
	for i := range 60 {
		s.write(fmt.Sprintf("d%d/sub/f%d", i%7, i), "x")
	}
	s.write(".hidden", "x")
	s.saved()
	entries, err := os.ReadDir(s.home)
	check(t, err)
	for _, e := range entries {
		s.remove(e.Name())
	}
	s.saved()
	wantKeys(t, s.keys())
	s.flushed()
	wantKeys(t, s.keys())
}

// A scan alone sees the same, when the events were lost.
func TestDeletionsAreFoundByAScan(t *testing.T) {
	s := newSandbox(t)
	s.hydrate()
	s.write("keep", "x")
	s.write("d/a", "x")
	s.write("d/e/b", "x")
	s.run()
	s.saved()
	blind(t, s)
	s.remove("d")
	if f := s.flush(); f.UnsavedCount != 0 {
		t.Fatalf("%+v", f)
	}
	wantKeys(t, s.keys(), "keep")
}

// blind makes the engine see nothing but what it scans: its watches are taken away.
func blind(t *testing.T, s *sandbox) {
	t.Helper()
	check(t, s.e.obs.catchUp(s.ctx(), true))
	done := make(chan struct{})
	s.e.obs.do(func() {
		o := s.e.obs
		o.limited = true
		for _, wd := range o.dirs.Drop(o.dirs.Root()) {
			o.watcher.Remove(wd)
		}
		close(done)
	})
	<-done
}

// held wants deletions held back for a reason, by a flush too.
func (s *sandbox) held(reason string, keys ...string) {
	s.t.Helper()
	f := s.flush()
	if f.UnsavedCount == 0 || !strings.Contains(f.Reason+fmt.Sprint(f.Unsaved), reason) {
		s.t.Errorf("the flush says %+v, want %q", f, reason)
	}
	if st := s.e.Status(); st.State != "held" || !strings.Contains(st.Held, reason) {
		s.t.Errorf("status: %s, %q", st.State, st.Held)
	}
	wantKeys(s.t, s.keys(), keys...)
	if _, err := os.Stat(unsavedPath(&s.cfg)); err != nil {
		s.t.Errorf("the list of what was not saved: %v", err)
	}
}

func TestReplacedRootDeletesNothing(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/a", "x")
	s.write("b", "x")
	s.saved()
	check(t, os.Rename(s.home, s.home+".away"))
	check(t, os.Mkdir(s.home, 0o755))
	check(t, os.RemoveAll(s.home+".away/d"))
	check(t, os.Remove(s.home+".away/b"))
	s.held("is not the directory that was hydrated", "b", "d/a")
}

func TestRootMountedOverDeletesNothing(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/a", "x")
	s.saved()
	check(t, unix.Mount("tmpfs", s.home, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(s.home, unix.MNT_DETACH) })
	s.held("is not the directory that was hydrated", "d/a")
}

// The home is empty, and no deletion was seen: an unmounted volume looks like this, or a
// directory that was emptied while no process watched.
func TestEmptyRootWithoutDeletionsDeletesNothing(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/a", "x")
	s.write("b", "x")
	s.flushed()
	s.remove("d")
	s.remove("b")
	s.make()
	check(t, s.e.Resume(s.ctx()))
	s.run()
	s.held("the home is empty", "b", "d/a")
}

// A process that follows a killed one finds out what was deleted meanwhile.
func TestResumeDeletes(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/a", "x")
	s.write("b", "x")
	s.saved()
	s.kill()
	s.remove("d")
	s.write("b", "changed")
	s.write("new", "x")
	before := s.proxy.Count("LIST")
	s.make()
	check(t, s.e.Resume(s.ctx()))
	s.run()
	s.saved()
	s.want("b", "changed")
	wantKeys(t, s.keys(), "b", "new")
	if n := s.proxy.Count("LIST") - before; n != 0 {
		t.Errorf("%d listings to resume", n)
	}
}

func TestResumeNeedsAHydratedHome(t *testing.T) {
	s := newSandbox(t)
	s.make()
	if err := s.e.Resume(s.ctx()); err == nil || !strings.Contains(err.Error(), "not hydrated") {
		t.Errorf("resumed: %v", err)
	}
	if err := s.e.Run(s.ctx()); err == nil || !strings.Contains(err.Error(), "not hydrated") {
		t.Errorf("ran: %v", err)
	}
	s.e.Close()
	s.e = nil
}

// A home that was emptied while the sandbox was stopped comes back.
func TestEmptiedWhileStopped(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/a", "x")
	s.write("b", "y")
	s.flushed()
	s.remove("d")
	s.remove("b")
	s.start()
	s.wantFile("d/a", "x")
	s.flushed()
	wantKeys(t, s.keys(), "b", "d/a")
}

// A hydrate that fails changes nothing in S3, and nothing runs.
func TestFailedHydrateChangesNothing(t *testing.T) {
	s := newSandbox(t)
	s.bucket.Put(prefix+"a", "one", nil)
	s.write("local", "x")
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.make()
	if _, err := s.e.Hydrate(s.ctx(), s.seal); err == nil {
		t.Fatal("hydrated")
	}
	if err := s.e.Run(s.ctx()); err == nil {
		t.Fatal("ran")
	}
	s.e.Close()
	s.e = nil
	wantKeys(t, s.keys(), "a")
}

func TestRenameToAnExcludedNameKeepsTheObject(t *testing.T) {
	for _, to := range []string{"a.pyc", ".cache/deep/a", "__pycache__/a"} {
		t.Run(to, func(t *testing.T) {
			s := newSandbox(t)
			s.write(".cache/deep/x", "x")
			check(t, os.Mkdir(s.path("__pycache__"), 0o755))
			s.start()
			s.write("a", "one")
			s.write("b", "one")
			s.saved()
			s.rename("a", to)
			s.remove("b")
			s.saved()
			wantKeys(t, s.keys(), "a")
			s.flushed()
			wantKeys(t, s.keys(), "a")
		})
	}
}

func TestFileAndDirectoryTakeTurns(t *testing.T) {
	s := newSandbox(t).start()
	s.write("p", "a file")
	s.saved()
	s.remove("p")
	s.write("p/x", "in a directory")
	s.write("p/y/z", "deeper")
	s.saved()
	wantKeys(t, s.keys(), "p/x", "p/y/z")
	s.remove("p")
	s.write("p", "a file again")
	s.saved()
	wantKeys(t, s.keys(), "p")
	s.remove("p")
	check(t, os.Mkdir(s.path("p"), 0o755))
	s.saved()
	wantKeys(t, s.keys(), "p/")
	s.remove("p")
	check(t, os.Symlink("elsewhere", s.path("p")))
	s.saved()
	s.want("p", "elsewhere")
	wantKeys(t, s.keys(), "p")
}

// A file that the disk has lost and that hydrate cannot bring is missing here, and not deleted: neither it nor
// its directory loses an object when all around it is deleted.
func TestFileThatCannotBeBroughtIsNotDeleted(t *testing.T) {
	s := newSandbox(t).start()
	s.write("dir/lost", "x")
	s.write("dir/other", "x")
	s.flushed()
	s.remove("dir")
	archived := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/dir/lost"}, Do: testbed.Refuse(403, "InvalidObjectState")})
	s.start()
	wantKeys(t, s.keptKeys(), "dir/lost")
	s.saved()
	s.remove("dir")
	s.flushed()
	wantKeys(t, s.keys(), "dir/lost")
	archived.Remove()
	s.start()
	s.wantFile("dir/lost", "x")
	s.flushed()
}
