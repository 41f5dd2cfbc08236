package execd

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/wire"
)

// TestExecThatEndsAsTheDrainBeginsWasStopped, however soon after PID 1's word its process ends: the word is there first.
func TestExecThatEndsAsTheDrainBeginsWasStopped(t *testing.T) {
	for range 20 {
		s := newSandbox(t)
		var streams []*execapi.Stream
		for range 5 {
			st, err := s.StartAttached(t.Context(), sh("echo up; exec sleep 1000"))
			if err != nil {
				t.Fatal(err)
			}
			await(t, st, "up")
			streams = append(streams, st)
		}
		s.tell(wire.ExecdDrain)
		for _, st := range streams {
			if err := unix.Kill(st.Exec.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for _, st := range streams {
			if got, err := collect(st); err != nil || got.final.Reason != execapi.Stopped {
				t.Fatalf("%+v, %v", got.final, err)
			}
		}
	}
}
