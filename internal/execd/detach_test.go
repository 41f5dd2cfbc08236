package execd

import (
	"testing"
	"time"
)

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
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			x, err := s.Get(t.Context(), st.Exec.ID)
			if err != nil || time.Now().After(until) {
				t.Fatal(x, err)
			}
			if x.Attached == 0 {
				break
			}
		}
		time.Sleep(50 * time.Millisecond) // time for a hang-up
		x, err := s.Get(t.Context(), st.Exec.ID)
		if err != nil || x.Final != nil {
			t.Fatalf("exec %d has ended with its client, which had detached: %+v, %v", i, x.Final, err)
		}
		if err := s.Remove(t.Context(), st.Exec.ID); err != nil {
			t.Fatal(err)
		}
	}
}
