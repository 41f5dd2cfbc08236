package hot

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// Status says in numbers what is where.
func TestStatusNumbers(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.write("d/b", "three")
	s.saved()
	st := s.e.Status()
	if st.State != "synced" || st.Files != 2 || st.Bytes != 8 || st.DirtyFiles != 0 || st.DirtyBytes != 0 || st.InFlight != 0 ||
		st.Uploaded != 2 || st.UploadBytes != 8 || st.Staleness != 0 || st.LastSuccess.IsZero() || st.ManifestAge != -1 || st.Sequence < 2 || st.Rescans < 1 {
		t.Errorf("two files are saved, and status says %+v", st)
	}
	before := st

	hold := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/held"}, Do: hold, Times: 1})
	denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/denied"}, Do: testbed.Refuse(403, "AccessDenied")})
	s.write("held", strings.Repeat("x", 100))
	s.write("denied", "y")
	if !hold.WaitArrived(s.ctx(), 1) {
		t.Fatal("the upload does not come")
	}
	s.wantRefusedInFlight("denied")
	if st = s.e.Status(); st.State != "syncing" || st.DirtyFiles != 2 || st.DirtyBytes != 101 || st.InFlight < 1 || st.Staleness <= 0 || st.Files != 2 {
		t.Errorf("one is under way, one is refused, and status says %+v", st)
	}
	hold.Open()
	denied.Remove()
	s.saved()
	s.remove("a")
	s.flushedWith(func() {
		st = s.e.Status()
		if st.Files != 3 || st.Bytes != 106 || st.Uploaded != 5 || st.FailedCount != 0 || st.ManifestAge < 0 || st.Sequence <= before.Sequence || !st.LastSuccess.After(before.LastSuccess) {
			t.Errorf("three are left, and status says %+v", st)
		}
	})
	s.start()
	if st = s.e.Status(); st.Hydrated != 0 || st.ManifestAge < 0 || st.Files != 3 {
		t.Errorf("restarted, status says %+v", st)
	}
}

// wantRefusedInFlight is wantRefused while something else is under way.
func (s *sandbox) wantRefusedInFlight(path string) {
	s.t.Helper()
	s.eventually(path+" is refused", func() bool {
		st := s.e.Status()
		return st.FailedCount == 1 && st.Failed[0].Path == path && strings.Contains(st.Failed[0].Reason, "access denied")
	})
}

// flushedWith is flushed, with a look before the end.
func (s *sandbox) flushedWith(look func()) {
	s.t.Helper()
	if f := s.flush(); f.UnsavedCount != 0 {
		s.t.Fatalf("not saved: %+v", f)
	}
	look()
	s.kill()
}
