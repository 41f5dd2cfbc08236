package run

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// relay passes connections on to the engine, and breaks those that there are.
type relay struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", "/var/run/docker.sock")
			if err != nil {
				c.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, c, up)
			r.mu.Unlock()
			go pass(up, c)
			go pass(c, up)
		}
	}()
	return r
}

// pass hands bytes on, and the end of them too: a program that attaches closes one half.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.UnixConn).CloseWrite()
}

func (r *relay) breakAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// A connection to the engine that breaks says nothing about the sandbox: its exit code is its own, and its end
// is judged as ever.
func TestExitCodeIsKeptWhenTheEngineConnectionBreaks(t *testing.T) {
	r := newRelay(t) // which the operator's cleanup needs
	o := harness.NewOperator(t)
	o.Env = append(o.Env, "DOCKER_HOST=unix://"+r.Addr().String())
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "cut", "--", "idle")
	p.Out.Await(t, "idle")
	// When the start has been answered.
	o.AwaitStart("cut", func(r datadir.Record, _ contract.State) bool { return !r.FirstLife.IsZero() })
	r.breakAll()
	p.Err.Await(t, "lost sight of the sandbox cut")
	harness.EngineOK(t, "stop", "sandbox-cut")
	if r := p.End(); r.Code != 143 || !strings.Contains(r.Stderr, "cut completed, exit code 143") {
		t.Errorf("it ended as %v", r)
	}
	harness.NothingLeft(t, "cut")
}

// One that was killed is started again by another client of the engine, and what it had kept is saved by that.
func TestKeptSandboxIsSavedByAStartOfItsContainer(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach", "--", "idle")
	harness.EngineOK(t, "exec", "sandbox-"+id, "/fakeinit", "do", "write", "kept")
	harness.EngineOK(t, "kill", "sandbox-"+id)
	if e := o.AwaitEnded(id); e.Outcome != datadir.Killed || !e.Kept {
		t.Fatalf("it ended as %+v", e)
	}
	harness.EngineOK(t, "start", "sandbox-"+id)
	o.OK("ps") // by which the daemon takes it up, at the latest
	if _, err := o.SandboxDir(id).AwaitState(t.Context(), func(st contract.State) bool { return st.Ready }); err != nil {
		t.Fatal(err)
	}
	if r := o.Do(nil, "stop", id); r.Code != 0 || !strings.Contains(r.Stderr, "saved 1 file") {
		t.Errorf("stop: %v", r)
	}
	harness.NothingLeft(t, id)
	if r := o.Run(nil, "u", "-q", "--", "read"); r.Stdout != "kept\n" {
		t.Errorf("it has saved %v", r)
	}
}
