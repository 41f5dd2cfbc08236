package hot

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A killed process, its disk kept: what was changed and not saved is uploaded by the next.
func TestRestartOnTheSameDisk(t *testing.T) {
	s := newSandbox(t).start()
	for i := range 50 {
		s.write(fmt.Sprint("f", i), "one")
	}
	s.saved()
	s.proxy.Away()
	for i := range 50 {
		s.write(fmt.Sprint("f", i), "two")
	}
	s.remove("f7")
	s.eventually("the changes are seen", func() bool { return s.e.Status().DirtyFiles >= 50 && s.e.journal.HasTombstone("f7") })
	s.kill()
	s.proxy.Back()
	s.start()
	s.saved()
	if st := s.e.Status(); st.Conflicts != 0 {
		t.Errorf("%d conflicts", st.Conflicts)
	}
	s.wantNone("f7")
	s.want("f1", "two")
	if n := len(s.keys()); n != 49 {
		t.Errorf("%d keys", n)
	}
}

// What a flush stores in the first second of its life is known for what it is by the next start of
// the same container: it gives way to what another sandbox of the user has made of it.
func TestYoungFilesOfFlushAreNotTakenForChanged(t *testing.T) {
	first := newSandbox(t).start()
	for i := range 10 {
		first.write(fmt.Sprint("changed", i), "one")
		first.write(fmt.Sprint("deleted", i), "one")
	}
	first.flushed()
	second := sandboxAt(t, first.bucket, first.proxy).start()
	for i := range 10 {
		second.write(fmt.Sprint("changed", i), "two")
		second.remove(fmt.Sprint("deleted", i))
	}
	second.flushed()
	first.start()
	if st := first.e.Status(); st.Conflicts != 0 {
		t.Errorf("%d conflicts", st.Conflicts)
	}
	first.flushed()
	for i := range 10 {
		first.wantFile(fmt.Sprint("changed", i), "two")
	}
	if n := len(first.keys()); n != 10 {
		t.Errorf("%q in S3, want the ten that were changed", first.keys())
	}
}

// A file has taken the place of an empty directory, or the reverse, and the process is killed before the deletion of
// the old object is sent: the next one finds no conflict.
func TestFileInADirectorysPlaceIsNoConflictAfterARestart(t *testing.T) {
	for _, seen := range []bool{true, false} {
		t.Run(fmt.Sprintf("deletion seen %v", seen), func(t *testing.T) {
			s := newSandbox(t).start()
			check(t, os.Mkdir(s.path("marked"), 0o755))
			s.write("plain", "one")
			s.saved()
			gate := testbed.Hold()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE"}, Do: gate})
			if !seen {
				s.kill()
			}
			s.remove("marked")
			if seen {
				check(t, s.e.obs.catchUp(s.ctx(), false)) // its deletion is noted before there is a file
			}
			s.write("marked", "two")
			s.remove("plain")
			check(t, os.Mkdir(s.path("plain"), 0o755))
			if seen {
				check(t, s.e.obs.catchUp(s.ctx(), false))
				if !s.e.journal.HasTombstone("marked") || !s.e.journal.HasTombstone("plain") {
					t.Error("a deletion is not in the journal")
				}
				s.proxy.Away() // lets go what the gate holds
				s.kill()
				s.proxy.Back()
			}
			s.proxy.ClearFaults()
			s.start()
			if st := s.e.Status(); st.Conflicts != 0 {
				t.Errorf("%d conflicts", st.Conflicts)
			}
			s.flushed()
			s.wantFile("marked", "two")
			if keys := s.keys(); !slices.Equal(keys, []string{"marked", "plain/"}) {
				t.Errorf("keys %q", keys)
			}
		})
	}
}

// A process is killed before its writes are answered, and what was written is deleted before the next one follows:
// it deletes what arrived, and first where something else has taken the place.
func TestUnansweredWriteOfADeletedFileIsFoundByTheNextProcess(t *testing.T) {
	s := newSandbox(t).start()
	check(t, os.Mkdir(s.path("filled"), 0o755)) // no marker: something is in it, when it is looked at
	s.write("filled/other", "x")
	s.saved()
	arrived := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: testbed.LoseAnswer()})
	s.write("gone", "x")
	s.write("becomes-directory", "x")
	s.write("filled/becomes-file/below", "x")
	check(t, os.Mkdir(s.path("marked"), 0o755))
	s.eventually("they have arrived", func() bool { return len(s.keys()) == 5 })
	s.kill()
	arrived.Remove()
	s.remove("gone")
	s.remove("becomes-directory")
	s.write("becomes-directory/below", "y")
	s.remove("filled/becomes-file")
	s.write("filled/becomes-file", "y")
	s.remove("marked")
	s.write("marked", "y")
	s.make()
	check(t, s.e.Resume(s.ctx()))
	s.run()
	s.flushed()
	wantKeys(t, s.keys(), "becomes-directory/below", "filled/becomes-file", "filled/other", "marked")
}

// The answer to a deletion is lost, and the file is renamed back to its name: S3 does not hold what the journal says, though
// the file is the same as ever.
func TestFileIsStoredAnewAfterAnUnansweredDeletion(t *testing.T) {
	resume := func(s *sandbox) { s.make(); check(s.t, s.e.Resume(s.ctx())); s.run() }
	for name, next := range map[string]func(s *sandbox){
		"the next process resumes":  resume,
		"the next process hydrates": func(s *sandbox) { s.start() },
	} {
		for _, renamed := range []string{"dir/file", "dir"} { // with its directory it keeps its ctime as well
			t.Run(name+" "+renamed, func(t *testing.T) {
				s := newSandbox(t).start()
				s.write("dir/file", "content")
				s.saved()
				gate := testbed.HoldAnswer()
				lost := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE", Suffix: "/dir/file"}, Do: gate})
				s.rename(renamed, "aside")
				if !gate.WaitArrived(s.ctx(), 1) {
					t.Fatal("the deletion does not come")
				}
				s.kill()
				lost.Remove()
				s.wantNone("dir/file")
				s.rename("aside", renamed)
				next(s)
				s.flushed()
				s.want("dir/file", "content")
				s.wantFile("dir/file", "content")
			})
		}
	}
}

// The answer to a deletion is lost, and a new file of that name is refused: it may be the only copy of what is deleted then.
func TestRefusedFileHoldsDeletionsAfterAnUnansweredDeletion(t *testing.T) {
	s := newSandbox(t).start()
	s.write("new", "one")
	s.write("old", "two")
	s.saved()
	gate := testbed.HoldAnswer()
	lost := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "DELETE", Suffix: "/new"}, Do: gate})
	s.remove("new")
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("the deletion does not come")
	}
	s.kill()
	lost.Remove()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/new"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.write("new", "two")
	s.remove("old")
	s.make()
	check(t, s.e.Resume(s.ctx()))
	s.run()
	s.wantUnsaved(s.flush(), "new", "old")
	s.want("old", "two")
}
