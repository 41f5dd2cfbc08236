package execd

import "testing"

// TestDetachAmidOutput: a client detaches and leaves what is under way unread, so that the server's next write fails.
func TestDetachAmidOutput(t *testing.T) {
	s := newSandbox(t)
	for i := range 20 {
		spec := sh("exec cat /dev/zero")
		spec.Tied = true
		st, err := s.StartAttached(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for st.Offset < 1<<20 {
			if _, err := st.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Detach(); err != nil {
			t.Fatal(err)
		}
		st.Close()
		s.hungUp() // a later one: a hang-up of this exec would have come before
		x, err := s.Get(t.Context(), st.Exec.ID)
		if err != nil || x.Final != nil || x.Attached != 0 {
			t.Fatalf("exec %d has ended with its client, which had detached, or still has it: %+v, %v", i, x, err)
		}
		if err := s.Remove(t.Context(), st.Exec.ID); err != nil {
			t.Fatal(err)
		}
	}
}
