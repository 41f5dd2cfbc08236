package lifecycle

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mover is a host that moves processes when the test says so.
type mover struct {
	listener net.Listener
	waiting  chan request
	others   []request // that came before the one that was waited for
}

// request is one that is not answered yet.
type request struct {
	command string
	conn    net.Conn
}

// moving has a sandbox ask such a host.
func moving(sc scenario) (scenario, *mover) {
	m := &mover{waiting: make(chan request, 16)}
	before := sc.before
	sc.before = func(dir string) {
		before(dir)
		m.listener, _ = net.Listen("unix", filepath.Join(dir, "memory.sock"))
		go m.take()
	}
	sc.under = `export MEMORY_SOCKET="$DIR/memory.sock"; ` + sc.under // the directory is the test's, which start makes
	return sc, m
}

func (m *mover) take() {
	for {
		c, err := m.listener.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(c).ReadString('\n')
		said, _ := os.ReadFile("/proc/" + strings.TrimSpace(line) + "/cmdline")
		m.waiting <- request{string(said), c}
	}
}

// asked waits until a process is to be moved whose command has a word.
func (m *mover) asked(t *testing.T, word string) (moved func()) {
	t.Helper()
	for late := time.After(patience); ; {
		for i, r := range m.others {
			if strings.Contains(r.command, word) {
				m.others = slices.Delete(m.others, i, i+1)
				return func() {
					defer r.conn.Close()
					if _, err := r.conn.Write([]byte("moved\n")); err != nil {
						t.Error(err)
					}
				}
			}
		}
		select {
		case r := <-m.waiting:
			m.others = append(m.others, r)
		case <-late:
			t.Fatalf("%s is not to be moved, but %q", word, m.others)
		}
	}
}

// TestWorkloadIsHeldUntilItIsMoved: a hook, the command and the exec server, each before its first instruction. The
// command is asked for while the home is hydrated.
func TestWorkloadIsHeldUntilItIsMoved(t *testing.T) {
	sc, m := moving(execdScenario(scenario{
		command: sh(`echo '{"event":"command"}' >&2; exit 3`),
		plan:    "hello start hydrated serve coldready drain flush flushed rest",
		hooks:   map[string]string{"pre-start.d/10-hook": `echo '{"event":"hook"}' >&2`},
	}, "exit 0"))
	r := start(t, sc)
	defer m.listener.Close()
	execd, command := m.asked(t, fakeExecdRole), m.asked(t, "event\":\"command")
	for _, of := range []struct {
		event string
		moved func()
	}{{"execd:up", execd}, {"hook", m.asked(t, "10-hook")}} {
		if len(r.events(of.event)) != 0 {
			t.Errorf("%s comes before it was moved", of.event)
		}
		of.moved()
		r.await(of.event, 1)
	}
	r.await("command_started", 1)
	if len(r.events("command")) != 0 {
		t.Error("the command has run before it was moved")
	}
	command()
	r.await("command", 1)
	r.ends(3)
}

// TestCommandIsNotRunWhereTheSandboxIsStoppedBefore: it was forked already.
func TestCommandIsNotRunWhereTheSandboxIsStoppedBefore(t *testing.T) {
	sc, m := moving(execdScenario(scenario{
		command: sh(`echo '{"event":"command"}' >&2`),
		plan:    "hello start stop flushed rest",
	}, "exit 0"))
	r := start(t, sc)
	defer m.listener.Close()
	execd, command := m.asked(t, fakeExecdRole), m.asked(t, "event\":\"command")
	execd()
	r.signal(unix.SIGTERM)
	command()
	r.ends(128 + int(unix.SIGTERM))
	if len(r.events("command")) != 0 {
		t.Error("it has run")
	}
}
