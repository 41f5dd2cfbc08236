package execd

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
)

// A client that is not attached gives an exec its terminal's size and signals, by its ID.
func TestExecIsReachedByItsID(t *testing.T) {
	s := newSandbox(t)
	spec := sh("trap 'stty size; exit 7' USR1; echo up; while :; do sleep 0.01; done")
	spec.Terminal = &execapi.Size{Rows: 33, Columns: 99}
	st, err := s.StartAttached(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	id := st.Exec.ID
	await(t, st, "up")
	if err := s.Resize(t.Context(), id, execapi.Size{Rows: 11, Columns: 22}); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(t.Context(), id, int(unix.SIGUSR1)); err != nil {
		t.Fatal(err)
	}
	got, err := collect(st)
	if err != nil || !strings.Contains(got.out, "11 22") || got.final.Code != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Signal(t.Context(), id, int(unix.SIGUSR1)); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
	if err := s.Signal(t.Context(), "none", int(unix.SIGUSR1)); !errors.Is(err, execapi.ErrNotFound) {
		t.Errorf("a signal to none: %v", err)
	}
	if err := s.Resize(t.Context(), "none", execapi.Size{Rows: 1, Columns: 1}); !errors.Is(err, execapi.ErrNotFound) {
		t.Errorf("a size for none: %v", err)
	}
}
