package run

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func newSandboxDir(t *testing.T) datadir.Sandbox {
	t.Helper()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Sandbox("one")
	if err == nil {
		err = makeDir(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t *testing.T, s datadir.Sandbox, phase contract.Phase) {
	t.Helper()
	b, err := json.Marshal(contract.State{Phase: phase})
	if err == nil {
		err = os.WriteFile(filepath.Join(s.RunDir(), contract.StateFileName), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// storage is a storage process's control socket.
func storage(t *testing.T, s datadir.Sandbox, st contract.StorageStatus) {
	t.Helper()
	dir, err := sockdir.Open(s.RunDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", dir.Address(contract.ControlSocketName))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == contract.ControlStatusPath {
			json.NewEncoder(w).Encode(st)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() {
		srv.Close()
		dir.Close()
	})
}

func TestStages(t *testing.T) {
	s := newSandboxDir(t)
	if got := stage(t.Context(), s); got != "" {
		t.Errorf("with no state: %q", got)
	}
	for phase, want := range map[contract.Phase]string{
		contract.PhaseHydrate: "giving up before the workspace is there",
		contract.PhaseRun:     "telling it to stop",
		contract.PhaseDrain:   "ending its processes",
		contract.PhaseFlush:   "saving",
		contract.PhaseExit:    "",
	} {
		say(t, s, phase)
		if got := stage(t.Context(), s); got != want {
			t.Errorf("%s: %q, want %q", phase, got, want)
		}
	}
	storage(t, s, contract.StorageStatus{Hot: contract.HotStatus{DirtyFiles: 3, DirtyBytes: 2_500_000, InFlight: 1}})
	say(t, s, contract.PhaseFlush)
	if got := stage(t.Context(), s); got != "saving: 3 files (2.5 MB) to save" {
		t.Errorf("with something to save: %q", got)
	}
}

// lines is an error stream that is a terminal.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// Progress is drawn over itself, on a terminal alone, and taken away in the end.
func TestProgressIsDrawn(t *testing.T) {
	s := newSandboxDir(t)
	say(t, s, contract.PhaseFlush)
	l := &lines{more: make(chan struct{}, 1)}
	p := watch(s, Output{Err: l, Terminal: true})
	<-l.more
	p.close()
	if got := l.text.String(); !strings.HasPrefix(got, "\r\x1b[Ksaving") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("drawn %q", got)
	}
	for _, out := range []Output{{}, {Terminal: true, JSON: true}} {
		l := &lines{more: make(chan struct{}, 1)}
		out.Err = l
		watch(s, out).close()
		if l.text.Len() != 0 {
			t.Errorf("%+v: drawn %q", out, l.text.String())
		}
	}
}

// makeDir makes a sandbox's directory that no process looks after.
func makeDir(s datadir.Sandbox) error {
	lock, err := s.Make(datadir.Record{SandboxID: s.ID})
	if err == nil {
		lock.Unlock()
	}
	return err
}
