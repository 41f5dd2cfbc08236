package execd

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"weak"

	"github.com/matrx/sandbox/internal/execapi"
)

// TestLongArguments: they reach the command whole, and little of them is kept and told.
func TestLongArguments(t *testing.T) {
	s := newSandbox(t)
	for _, args := range [][]string{{strings.Repeat("x", 100_000)}, make([]string, 20_000), {strings.Repeat("\x01", 30_000), strings.Repeat("ä", 30_000)}} {
		st, err := s.StartAttached(t.Context(), execapi.Spec{Args: append([]string{"sh", "-c", `echo $# "$*" | wc -c`, "sh"}, args...)})
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := collect(st)
		want := len(strconv.Itoa(len(args)) + " " + strings.Join(args, " ") + "\n")
		if err != nil || strings.TrimSpace(got.out) != strconv.Itoa(want) {
			t.Errorf("%+v, %v; want %d", got, err, want)
		}
		if told := strings.Join(st.Exec.Args, " "); !strings.HasPrefix(told, "sh -c echo") || len(told) > shownArgs {
			t.Errorf("it is told with %d bytes: %.50s", len(told), told)
		}
	}
}

// TestForgottenExecHasNoMemory: its arguments may be a megabyte. The runtime lets go of timers that are stopped a
// part at a time.
func TestForgottenExecHasNoMemory(t *testing.T) {
	const many = 1000
	table := newTable(func(*execution) {})
	var were []weak.Pointer[execution]
	for range many {
		x := &execution{spec: execapi.Spec{ID: "x", Args: []string{"true"}}, over: make(chan struct{})}
		if err := table.admit(x); err != nil {
			t.Fatal(err)
		}
		close(x.over)
		table.ended(x)
		table.forget(x)
		were = append(were, weak.Make(x))
	}
	runtime.GC()
	kept := 0
	for _, was := range were {
		if was.Value() != nil {
			kept++
		}
	}
	if kept > many/2 {
		t.Errorf("%d of %d are kept", kept, many)
	}
	runtime.KeepAlive(table)
}
