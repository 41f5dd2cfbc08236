package hot

import (
	"os"
	"slices"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A key in another form than ours (a raw CR, as aws s3 sync from a Mac lays down) is the file's for
// as long as that is there: an edit goes to it, and so does the deletion.
func TestFileKeepsItsKeyOfAnotherForm(t *testing.T) {
	s := newSandbox(t)
	for _, key := range []string{"Icon\r", "dir\r/f", "gone\r", "empty\r/"} {
		s.bucket.Put(prefix+key, map[bool]string{true: "", false: "v1"}[key == "empty\r/"], nil)
	}
	s.start()
	s.wantFile("Icon\r", "v1")
	s.write("Icon\r", "v2")
	s.write("dir\r/f", "v2")
	s.remove("gone\r")
	s.flushed()
	wantKeys(t, s.keys(), "Icon\r", "dir\r/f", "empty\r/")
	s.want("Icon\r", "v2")
	other := sandboxAt(t, s.bucket, s.proxy).start()
	other.wantFile("Icon\r", "v2")
	other.wantFile("dir\r/f", "v2")
	for range 2 {
		s.start()
		if st := s.e.Status(); st.Conflicts != 0 {
			t.Errorf("%d conflicts", st.Conflicts)
		}
		s.flushed()
	}
	other.flushed()
	wantKeys(t, s.keys(), "Icon\r", "dir\r/f", "empty\r/")
}

// Two keys of one path: one is the file's, the other stays in S3 and is named.
func TestTwoKeysOfOnePath(t *testing.T) {
	for _, known := range []bool{false, true} { // the journal knows the raw one
		s := newSandbox(t)
		s.bucket.Put(prefix+"Icon\r", "raw", nil)
		if known {
			s.start()
			s.flushed()
		}
		s.bucket.Put(prefix+"Icon%0D", "escaped", nil)
		s.start()
		files, kept := "escaped", "Icon\r"
		if known {
			files, kept = "raw", "Icon%0D"
		}
		s.wantFile("Icon\r", files)
		if st := s.e.Status(); len(st.Kept) != 1 || st.Kept[0].Path != kept {
			t.Errorf("kept %+v, want %q", st.Kept, kept)
		}
		s.write("Icon\r", "edited")
		s.flushed()
		wantKeys(t, s.keys(), "Icon\r", "Icon%0D")
		for key, want := range map[string]string{"Icon\r": "edited", "Icon%0D": "escaped"} {
			if kept == "Icon\r" {
				want = map[string]string{"Icon\r": "raw", "Icon%0D": "edited"}[key]
			}
			s.want(key, want)
		}
	}
}

// twins makes a home in which each of these names, which end in a raw CR, has two keys, and one of the
// files is edited.
func twins(t *testing.T) *sandbox {
	t.Helper()
	s := newSandbox(t)
	for _, key := range []string{"f\r", "f%0D", "dir\r/g", "dir%0D/g"} {
		s.bucket.Put(prefix+key, "of "+key, nil)
	}
	s.bucket.Put(prefix+"empty\r/", "", nil)
	s.bucket.Put(prefix+"empty%0D/", "", nil)
	s.bucket.Put(prefix+"plain", "x", nil)
	return s.start()
}

// keptKeys are the keys that status says no file stands for.
func (s *sandbox) keptKeys() (keys []string) {
	for _, k := range s.e.Status().Kept {
		keys = append(keys, k.Path)
	}
	slices.Sort(keys)
	return keys
}

// A file that is deleted loses both of its keys, in every way of deleting it and of ending the
// sandbox: the next one does not find the file again.
func TestDeletedFileLosesBothKeys(t *testing.T) {
	for name, act := range map[string]func(s *sandbox){
		"deleted": func(s *sandbox) {
			for _, f := range []string{"f\r", "dir\r/g", "dir\r", "empty\r"} {
				check(s.t, os.Remove(s.path(f)))
			}
		},
		"renamed": func(s *sandbox) {
			s.rename("f\r", "plain")
			s.rename("dir\r", "other")
			s.remove("other")
			s.remove("empty\r")
		},
		"edited before": func(s *sandbox) {
			s.write("f\r", "edited")
			s.saved()
			s.remove("f\r")
			s.remove("dir\r")
			s.remove("empty\r")
		},
		"and then killed": func(s *sandbox) {
			s.remove("f\r")
			s.remove("dir\r")
			s.remove("empty\r")
			check(s.t, s.e.obs.catchUp(s.ctx(), false))
			s.kill()
			s.start()
		},
		"after a crash of the process": func(s *sandbox) {
			s.kill()
			s.make()
			check(s.t, s.e.Resume(s.ctx()))
			s.run()
			s.remove("f\r")
			s.remove("dir\r")
			s.remove("empty\r")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := twins(t)
			wantKeys(t, s.keptKeys(), "dir\r/g", "empty\r/", "f\r")
			act(s)
			s.saved()
			wantKeys(t, s.keys(), "plain")
			wantKeys(t, s.keptKeys())
			s.flushed()
			other := sandboxAt(t, s.bucket, s.proxy).start()
			for _, f := range []string{"f\r", "dir\r", "empty\r"} {
				if _, err := os.Lstat(other.path(f)); err == nil {
					t.Errorf("%q is back", f)
				}
			}
			other.flushed()
		})
	}
}

// A sandbox that dies between the two deletions has deleted the twin: the file's object is known to its
// journal, and a journal that is lost leaves the file and not the twin.
func TestTwinIsDeletedBeforeItsFile(t *testing.T) {
	s := twins(t)
	denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE", Suffix: "/hot/f%0D"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.remove("f\r")
	s.wantRefused("the deletion of the file's object is refused", "f%0D")
	if keys := s.keys(); slices.Contains(keys, "f\r") || !slices.Contains(keys, "f%0D") {
		t.Errorf("keys %q", keys)
	}
	denied.Remove()
	s.kill()
	s.start()
	s.saved()
	if keys := s.keys(); slices.Contains(keys, "f\r") || slices.Contains(keys, "f%0D") {
		t.Errorf("keys %q", keys)
	}
	s.flushed()
}

// A twin that another client has written since it was seen is not deleted with the file: it becomes the
// file, in this sandbox or in one that is started again.
func TestTwinThatWasWrittenAnewBecomesTheFile(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "started again": true} {
		t.Run(name, func(t *testing.T) {
			s := twins(t)
			if restart {
				denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE"}, Do: testbed.Refuse(403, "AccessDenied")})
				s.remove("f\r")
				s.wantRefused("the deletion is refused", "f%0D")
				s.kill()
				denied.Remove()
				s.bucket.Put(prefix+"f\r", "theirs", nil)
				s.start()
			} else {
				s.bucket.Put(prefix+"f\r", "theirs", nil)
				s.remove("f\r")
			}
			s.saved()
			s.eventually("theirs is the file", func() bool { b, err := os.ReadFile(s.path("f\r")); return err == nil && string(b) == "theirs" })
			s.want("f\r", "theirs")
			s.write("f\r", "edited")
			s.flushed()
			s.want("f\r", "edited")
		})
	}
}

// Of two keys of one path of which no journal tells, the one that was written last is the file's: the next
// sandbox shows what this one has written.
func TestNextSandboxShowsTheTwinThatWasWrittenLast(t *testing.T) {
	s := newSandbox(t)
	s.bucket.Put(prefix+"f\r", "raw", nil)
	s.start()
	s.flushed()
	s.bucket.Put(prefix+"f%0D", "escaped", nil)
	s.nextSecond() // Last-Modified has whole seconds
	s.start()
	s.write("f\r", "edited")
	s.flushed()
	other := sandboxAt(t, s.bucket, s.proxy).start()
	other.wantFile("f\r", "edited")
	other.flushed()
}
