package engine

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalAwaitsTheBeginning of a command: the engine says that it runs before it says which process it is, and
// its first output may have come by then.
func TestSignalAwaitsTheBeginning(t *testing.T) {
	child := exec.Command("sleep", "4327")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait()
	}()
	t.Cleanup(func() {
		_ = child.Process.Kill()
		<-ended
	})
	running := fmt.Sprintf(`{"Running":true,"Pid":%d}`, child.Process.Pid)
	for name, tc := range map[string]struct {
		answers []string // the last one for ever
		over    bool     // its output has ended
	}{
		"it begins":                      {answers: []string{`{}`, `{}`, `{"Running":true}`, `{"Running":true}`, running}},
		"it has ended":                   {answers: []string{`{}`}, over: true},
		"it ends meanwhile":              {answers: []string{`{}`, `{"Running":true}`, `{"Running":false}`}},
		"its output has ended, it began": {answers: []string{running}, over: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			e := answering(t, func() string {
				return tc.answers[min(int(asked.Add(1)), len(tc.answers))-1]
			})
			x := &Exec{e: e, container: "c", id: "x", Attached: &Attached{over: make(chan struct{})}}
			if tc.over {
				close(x.over)
			}
			if err := x.Signal(t.Context(), unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if n := int(asked.Load()); n != len(tc.answers) {
				t.Errorf("the engine is asked %d times, want %d", n, len(tc.answers))
			}
		})
	}
	e := answering(t, func() string { return running })
	x := &Exec{e: e, container: "c", id: "x", Attached: &Attached{over: make(chan struct{})}}
	if err := x.Signal(t.Context(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if st := child.ProcessState.Sys().(syscall.WaitStatus); st.Signal() != unix.SIGTERM {
		t.Errorf("it ended by %v", child.ProcessState)
	}
}

// answering is an engine that says of any exec what say returns.
func answering(t *testing.T, say func() string) *Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/info"):
			_, _ = w.Write([]byte(`{"ID":"e"}`))
		default:
			_, _ = w.Write([]byte(say()))
		}
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	e, err := OpenAt(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
