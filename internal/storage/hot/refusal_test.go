package hot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
	"github.com/matrx/sandbox/internal/testbed"
)

// refused are the paths that status says cannot be saved.
func (s *sandbox) refused() (paths []string) {
	for _, f := range s.e.Status().Failed {
		paths = append(paths, f.Path)
	}
	return paths
}

func (s *sandbox) wantRefused(what string, paths ...string) {
	s.t.Helper()
	s.eventually(what, func() bool { return fmt.Sprint(s.refused()) == fmt.Sprint(paths) && s.e.Status().InFlight == 0 })
}

// tooDeep is a directory whose marker's key would be longer than S3 allows.
func tooDeep() string {
	return strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 199)+"/", 6), "/")
}

// withWatches runs a test with inotify, and with scans alone.
func withWatches(t *testing.T, f func(t *testing.T, s *sandbox)) {
	for name, add := range map[string]func(*observer){
		"events": nil,
		"scans": func(o *observer) {
			o.add = func(int, bool) (watch.WD, error) { return 0, watch.ErrLimit }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.hydrate()
			s.e.beforeRun = add
			s.run()
			f(t, s)
		})
	}
}

// An empty directory whose marker has no key is refused as long as it is empty, and there.
func TestRefusedMarkerFollowsItsDirectory(t *testing.T) {
	withWatches(t, func(t *testing.T, s *sandbox) {
		deep := tooDeep()
		check(t, os.MkdirAll(s.path(deep), 0o755))
		s.wantRefused("the empty directory is refused", deep)
		s.write(deep+"/f", "x")
		s.wantRefused("the file in it is, and it is not any more", deep+"/f")
		s.remove(deep + "/f")
		s.wantRefused("it is empty again", deep)
		check(t, os.MkdirAll(s.path(deep+"/sub"), 0o755))
		s.wantRefused("the directory in it is empty", deep+"/sub")
		check(t, os.Rename(s.path(deep), s.path("near")))
		s.wantRefused("where it is now it has a key")
		s.saved()
		wantKeys(t, s.keys(), "near/sub/", strings.Repeat("d", 199)+"/"+strings.Repeat(strings.Repeat("d", 199)+"/", 4))
		s.flushed()
	})
}

// What is refused and goes away is not refused any more, in whichever way it went.
func TestRefusedAndGone(t *testing.T) {
	for name, gone := range map[string]func(s *sandbox, dir string){
		"removed":     func(s *sandbox, dir string) { s.remove(dir) },
		"above it":    func(s *sandbox, dir string) { s.remove(strings.Split(dir, "/")[0]) },
		"moved out":   func(s *sandbox, dir string) { check(s.t, os.Rename(s.path(dir), s.t.TempDir()+"/elsewhere")) },
		"left out":    func(s *sandbox, dir string) { s.write(".sandboxignore", dir[:199]+"/") },
		"a file now":  func(s *sandbox, dir string) { s.remove(dir[:199]); s.write(dir[:199], "x") },
		"unseen":      func(s *sandbox, dir string) { s.e.obs.do(s.e.obs.overflow); s.remove(dir) },
		"in a flush":  func(s *sandbox, dir string) { s.remove(dir); s.flushed(); s.start() },
		"and a saver": func(s *sandbox, dir string) { s.remove(dir); s.saved() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t).start()
			dir := tooDeep()
			s.write(dir+"/f", "x")
			check(t, os.MkdirAll(s.path(dir+"/empty"), 0o755))
			s.wantRefused("both are refused", dir+"/empty", dir+"/f")
			gone(s, dir)
			s.wantRefused("nothing is")
			s.saved()
			s.flushed()
			if _, err := os.Stat(s.cfg.StateDir + "/" + contract.UnsavedFileName); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is a list of what was not saved: %v", err)
			}
		})
	}
}

// A key that may not be written is tried again when its file changes, not minutes later.
func TestRefusedAndChanged(t *testing.T) {
	s := newSandbox(t).start()
	denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/f"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.write("f", "one")
	s.wantRefused("it is refused", "f")
	denied.Remove()
	s.write("f", "two")
	s.wantRefused("it is not")
	s.eventually("it is in S3", func() bool { o, ok := s.bucket.Get(prefix + "f"); return ok && string(o.Body) == "two" })
}

// A directory that cannot be read is named, and no longer than it is there.
func TestUnreadableAndGone(t *testing.T) {
	for name, gone := range map[string]func(s *sandbox){
		"removed": func(s *sandbox) { s.remove("above") },
		"unseen": func(s *sandbox) {
			s.e.obs.do(func() { s.e.obs.drop(s.e.obs.dirs.Find("above")) })
			s.remove("above/shut")
			s.e.obs.do(s.e.obs.overflow)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("above/f", "x")
			check(t, os.Mkdir(s.path("above/shut"), 0o755))
			s.saved()
			// The disk itself cannot be made to refuse root.
			s.e.obs.do(func() { s.e.obs.unreadable("above/shut", errors.New("input/output error")) })
			s.wantRefused("it is named", "above/shut")
			gone(s)
			s.wantRefused("it is not")
			s.flushed()
		})
	}
}

// A directory that another user owns and that may not be read (lost+found, on a volume) is left out;
// one of which S3 has something is named as not saved.
func TestDirectoryOfAnotherUser(t *testing.T) {
	s := newSandbox(t).start()
	s.write("mine/f", "x")
	s.saved()
	shut := func(path string) func() {
		i, err := s.e.root.Lstat("mine")
		check(t, err)
		i.UID = uint32(os.Geteuid()) + 1
		return func() {
			s.e.obs.compare(&dirRead{path: path, info: i, err: &fs.PathError{Op: "open", Path: path, Err: unix.EACCES}})
		}
	}
	s.e.obs.do(shut("lost+found"))
	check(t, s.e.obs.catchUp(s.ctx(), false))
	if refused := s.refused(); len(refused) != 0 {
		t.Errorf("not saved: %q", refused)
	}
	s.e.obs.do(shut("mine"))
	check(t, s.e.obs.catchUp(s.ctx(), false))
	if refused := s.refused(); !slices.Equal(refused, []string{"mine"}) {
		t.Errorf("not saved: %q", refused)
	}
}

// A store that keeps keys as files cannot keep a file where another client has put an object below
// it: that file is refused, by name, and nothing else waits for it.
func TestSomethingInTheWayThatIsNotOurs(t *testing.T) {
	s := newSandbox(t).start()
	s.bucket.Put(prefix+"p/theirs", "x", nil)
	s.write("p", "ours")
	s.wantRefused("the file that has no place", "p")
	s.write("other", "x")
	s.eventually("the other file arrives", func() bool { _, ok := s.bucket.Get(prefix + "other"); return ok })
	if reason := s.e.Status().Failed[0].Reason; !strings.Contains(reason, "ExistingObjectIsDirectory") {
		t.Errorf("the reason is %q", reason)
	}
	f := s.flush()
	if f.UnsavedCount != 1 || f.Unsaved[0].Path != "p" {
		t.Errorf("%+v", f)
	}
	s.kill()
	s.want("p/theirs", "x")
}

// A file that a scan saw gone while it was written, and in whose place a directory is now: what is
// in that waits for the file's deletion, and no longer, whether or not S3 has the file.
func TestGoneWhileItIsWritten(t *testing.T) {
	for name, answer := range map[string]testbed.Action{"stored": nil, "refused": testbed.Refuse(400, "InvalidRequest")} {
		t.Run(name, func(t *testing.T) {
			withWatches(t, func(t *testing.T, s *sandbox) {
				s.write("kept", "x")
				s.write("p", "as it was")
				s.saved()
				gate := testbed.Hold()
				match := testbed.Match{Verb: "PUT", Regexp: "/p$"}
				s.proxy.Add(testbed.Fault{When: match, Times: 1, Do: gate})
				if answer != nil {
					s.proxy.Add(testbed.Fault{When: match, Times: 1, Do: answer})
				}
				s.write("p", "a file")
				if !gate.WaitArrived(s.ctx(), 1) {
					t.Fatal("it is not written")
				}
				s.remove("p")
				s.eventually("its deletion is seen", func() bool {
					s.e.mu.Lock()
					defer s.e.mu.Unlock()
					kind, _ := s.e.queue.Has("p")
					return kind == queue.Delete
				})
				s.write("p/x", "in a directory")
				gate.Open()
				s.eventually("what is in the directory arrives", func() bool { _, ok := s.bucket.Get(prefix + "p/x"); return ok })
				s.saved()
				wantKeys(t, s.keys(), "kept", "p/x")
				s.flushed()
			})
		})
	}
}

// Deletions are refused, and with them, by a store that keeps files and directories apart, all that takes their place. A
// flush ends with that; and when deletions are allowed again, the next one saves everything.
func TestRefusedDeletionAndWhatTakesItsPlace(t *testing.T) {
	s := newSandbox(t)
	for _, name := range []string{"file", "filled", "dir/f"} {
		s.write(name, "old")
	}
	check(t, os.Mkdir(s.path("marked"), 0o755))
	s.start()
	s.saved()
	denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE", Regexp: "/hot/"}, Do: testbed.Refuse(403, "AccessDenied")})
	for _, name := range []string{"file", "filled", "dir", "marked"} {
		s.remove(name)
	}
	check(t, os.Mkdir(s.path("file"), 0o755))
	s.write("filled/f", "new")
	s.write("dir", "new")
	s.write("marked", "new")
	f := s.flush()
	s.wantUnsaved(f, "dir", "dir/f", "file", "file", "filled", "filled", "filled/f", "marked", "marked") // twice: the old object, and the new
	if f.Reason == errUnsaved.Error() {
		t.Error("the flush has waited to its deadline for what cannot be saved")
	}
	denied.Remove()
	s.flushed()
	wantKeys(t, s.keys(), "dir", "file/", "filled/f", "marked")
}
