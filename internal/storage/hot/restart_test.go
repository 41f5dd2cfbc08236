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
	s.eventually("the changes are seen", func() bool { return s.e.Status().DirtyFiles >= 50 && s.e.journal.IsGone("f7") })
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
