package hot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// copies are the conflict copies of a file in the home.
func (s *sandbox) copies(name string) []string {
	s.t.Helper()
	found, err := filepath.Glob(s.path(name) + ".conflict-sb-*")
	check(s.t, err)
	for i := range found {
		found[i], _ = filepath.Rel(s.home, found[i])
	}
	return found
}

func TestSomebodyElseWrote(t *testing.T) {
	for name, test := range map[string]struct {
		before bool   // the file is in S3 already
		theirs string // what they write; "" they delete it
		local  string // what is at the name in the end
		copied bool   // ours is in a conflict copy
	}{
		"a new file, they made one too":    {theirs: "theirs", local: "theirs", copied: true},
		"a changed file, they changed it":  {before: true, theirs: "theirs", local: "theirs", copied: true},
		"a changed file, they deleted it":  {before: true, local: "ours"},
		"a new file, theirs is the same":   {theirs: "ours", local: "ours"},
		"a changed file, theirs is ours":   {before: true, theirs: "ours", local: "ours"},
		"of the same length, and not ours": {theirs: "OURS", local: "OURS", copied: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t).start()
			if test.before {
				s.write("dir/f", "before")
				s.saved()
			}
			gate := testbed.Hold()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "dir/f"}, Times: 1, Do: gate})
			s.write("dir/f", "ours")
			if !gate.WaitArrived(s.ctx(), 1) {
				t.Fatal("the upload does not come")
			}
			if test.theirs != "" {
				s.bucket.Put(prefix+"dir/f", test.theirs, nil)
			} else {
				s.bucket.Delete(prefix + "dir/f")
			}
			gate.Open()
			s.saved()
			s.wantFile("dir/f", test.local)
			s.want("dir/f", test.local)
			copies := s.copies("dir/f")
			if want := map[bool]int{true: 1}[test.copied]; len(copies) != want {
				t.Fatalf("conflict copies %q, want %d", copies, want)
			}
			if test.copied {
				s.wantFile(copies[0], "ours")
				s.want(copies[0], "ours")
				if n := s.e.Status().Conflicts; n != 1 {
					t.Errorf("status says %d conflicts", n)
				}
			}
			// What was adopted or fetched goes on like any other file.
			s.write("dir/f", "next")
			s.saved()
			s.want("dir/f", "next")
		})
	}
}

func TestSomebodyElseWroteWhatIsDeletedHere(t *testing.T) {
	s := newSandbox(t).start()
	s.write("f", "before")
	s.saved()
	s.bucket.Put(prefix+"f", "theirs", nil)
	s.remove("f")
	s.saved()
	s.want("f", "theirs")
	s.eventually("theirs is here", func() bool { b, err := os.ReadFile(s.path("f")); return err == nil && string(b) == "theirs" })
	if c := s.copies("f"); len(c) != 0 {
		t.Errorf("conflict copies %q", c)
	}
}

// Writes arrive and their answers are lost: no other client wrote, so nothing is in conflict.
func TestLostAnswers(t *testing.T) {
	for _, verb := range []string{"PUT", "DELETE"} {
		t.Run(verb, func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("a", "one")
			s.write("gone", "one")
			s.saved()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Regexp: "/hot/"}, Do: testbed.LoseAnswer(), Times: 3})
			s.write("a", "two")
			s.write("new", "three")
			s.remove("gone")
			s.saved()
			s.want("a", "two")
			s.want("new", "three")
			s.wantNone("gone")
			for _, k := range s.keys() {
				if strings.Contains(k, "conflict") {
					t.Errorf("a conflict copy: %s", k)
				}
			}
			if n := s.e.Status().Conflicts; n != 0 {
				t.Errorf("%d conflicts", n)
			}
		})
	}
}

// The answer is lost, and the process dies: the next one knows the write as its own.
func TestLostAnswerAndDeath(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.saved()
	gate := testbed.HoldAnswer()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: "/hot/"}, Do: gate})
	s.write("a", "two")
	s.write("new", "three")
	if !gate.WaitArrived(s.ctx(), 2) {
		t.Fatal("the uploads do not come")
	}
	s.kill()
	s.proxy.ClearFaults()
	s.write("a", "four") // and it is changed before the next one starts
	s.start()
	s.saved()
	s.want("a", "four")
	s.want("new", "three")
	if n := s.e.Status().Conflicts; n != 0 {
		t.Errorf("%d conflicts: %q", n, s.keys())
	}
}

// A file is written, its upload's fate is unknown, and it is deleted: it does not come back.
func TestDeletedWhileItsUploadIsUnderWay(t *testing.T) {
	s := newSandbox(t).start()
	gate := testbed.HoldAnswer()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: "/hot/"}, Do: gate})
	s.write("f", "one")
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("the upload does not come")
	}
	s.remove("f")
	check(t, s.e.obs.catchUp(s.ctx(), false))
	s.kill()
	s.proxy.ClearFaults()
	s.start()
	s.saved()
	s.wantNone("f")
	if _, err := os.Lstat(s.path("f")); err == nil {
		t.Error("the file is back")
	}
}

// The workload makes a new file in the moment in which theirs is fetched.
func TestConflictWhileTheNameIsTakenAgain(t *testing.T) {
	s := newSandbox(t).start()
	s.bucket.Put(prefix+"f", "theirs", nil)
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/f"}, Do: gate, Times: 2})
	s.write("f", "first")
	if !gate.WaitArrived(s.ctx(), 1) { // compares, since the length is not known to differ
		t.Fatal("theirs is not looked at")
	}
	s.write("f", "second")
	gate.Open()
	s.saved()
	s.wantFile("f", "theirs")
	s.want("f", "theirs")
	all := ""
	for _, c := range s.copies("f") {
		b, err := os.ReadFile(s.path(c))
		check(t, err)
		all += string(b) + " "
	}
	if !strings.Contains(all, "second") {
		t.Errorf("the conflict copies have %q", all)
	}
}
