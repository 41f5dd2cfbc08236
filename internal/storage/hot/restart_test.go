package hot

import (
	"fmt"
	"testing"
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
