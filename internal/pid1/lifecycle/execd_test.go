package lifecycle

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// playExecd is an exec server that says in the log, which PID 1 and the tests share, what it is told. It adds a byte
// to its records, and answers each client with their number. What the script in its directory starts is its child.
func playExecd(dir string) int {
	say := func(event string, more any) {
		line, _ := json.Marshal(map[string]any{"event": "execd:" + event, "more": more})
		_, _ = os.Stderr.Write(append(line, '\n'))
	}
	for fd := wire.ExecdListener; fd <= wire.ExecdEnviron; fd++ {
		unix.CloseOnExec(fd)
	}
	records := os.NewFile(wire.ExecdRecords, "records")
	end, err := records.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = records.Write([]byte{'x'})
	}
	l, lerr := net.FileListener(os.NewFile(wire.ExecdListener, "socket"))
	if err != nil || lerr != nil {
		say("wrong", fmt.Sprint(err, lerr))
		return 1
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, end+1)
			c.Close()
		}
	}()
	cmd := exec.Command(filepath.Join(dir, "child"))
	cmd.Stderr = os.Stderr
	ended := make(chan struct{})
	err = cmd.Start()
	go func() {
		defer close(ended)
		if err == nil {
			say("child", fmt.Sprint(cmd.Wait()))
		}
	}()
	say("up", statusOf("self"))
	say("args", os.Args[3:])
	var told [1]byte
	for control := os.NewFile(wire.ExecdControl, "control"); ; {
		n, err := control.Read(told[:])
		if n == 0 {
			say("end", fmt.Sprint(err))
			<-ended // it may be said to have ended only now
			return 0
		}
		environ := make([]byte, 64<<10)
		n, _ = unix.Pread(wire.ExecdEnviron, environ, 0)
		say(string(told[:]), strings.Split(string(environ[:n]), "\x00"))
	}
}

// execdScenario asks for an exec server, whose first child runs a script.
func execdScenario(sc scenario, child string) scenario {
	sc.before = func(dir string) {
		_ = os.Mkdir(filepath.Join(dir, "host"), 0o700)
		_ = os.WriteFile(filepath.Join(dir, "child"), []byte("#!/bin/sh\n"+child+"\n"), 0o755)
	}
	// Its directory is the test's, which start makes.
	sc.under = `export EXEC_SOCKET="$DIR/host/exec.sock"; exec "$0" "$@"`
	return sc
}

func (r *run) answer() string {
	r.t.Helper()
	c, err := net.Dial("unix", filepath.Join(r.dir, "host", "exec.sock"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// TestExecServerIsSparedInTheDrain: what it has started is stopped as everything else is, and it is told of the end
// when nothing else is left, before the flush.
func TestExecServerIsSparedInTheDrain(t *testing.T) {
	r := start(t, execdScenario(scenario{plan: "hello start hydrated serve coldready drain flush flushed rest"},
		`trap 'echo "{\"event\":\"stopped\"}" >&2; exit 5' TERM; echo '{"event":"child"}' >&2; while :; do sleep 0.01; done`))
	r.await("execd:r", 1)
	r.await("child", 1)
	if r.answer() != "1" {
		t.Error("another server answers")
	}
	st := r.await("execd:up", 1)["more"].(map[string]any)
	if st["NoNewPrivs"] != "1" || st["CapBnd"] != "0000000000000180" || strings.TrimSpace(st["Groups"].(string)) != "" || !strings.HasPrefix(st["Gid"].(string), "1000") {
		t.Errorf("it is started as %v", st)
	}
	r.signal(unix.SIGTERM)
	r.ends(0)
	var order []string
	for _, e := range r.seen {
		switch name := e.event(); name {
		case "execd:d", "stopped", "execd:end", "storage:flush", "exit":
			order = append(order, name)
		}
	}
	if got := strings.Join(order, " "); got != "execd:d stopped execd:end storage:flush exit" {
		t.Errorf("in the order %s", got)
	}
	if status := r.await("execd:child", 1)["more"]; status != "exit status 5" {
		t.Errorf("what it has started ends with %v", status)
	}
	if _, err := os.Lstat(filepath.Join(r.dir, "host", "exec.sock")); err == nil {
		t.Error("the socket is left")
	}
}

// TestKilledExecServerIsFollowed by one that has its socket and its records, and is told what it was told.
func TestKilledExecServerIsFollowed(t *testing.T) {
	r := start(t, execdScenario(scenario{}, "exit 0"))
	r.await("execd:r", 1)
	var pid int
	fmt.Sscan(r.await("execd:up", 1)["more"].(map[string]any)["Pid"].(string), &pid)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await("execd:r", 2)
	if r.answer() != "2" {
		t.Error("the next one does not have the records")
	}
	r.signal(unix.SIGTERM)
	r.ends(0)
	if st := r.state(); st.ExecRestarts != 1 || st.ExecPID != 0 {
		t.Errorf("in the end the state is %+v", st)
	}
}

// An exec socket that the agent could replace is refused.
func TestExecSocketThatTheAgentReaches(t *testing.T) {
	sc := execdScenario(scenario{}, "exit 0")
	before := sc.before
	sc.before = func(dir string) {
		before(dir)
		_ = os.Chmod(filepath.Join(dir, "host"), 0o755)
	}
	r := start(t, sc)
	r.ends(contract.ExitConfig)
	if said := r.await("boot_failed", 1)["error"].(string); !strings.Contains(said, "EXEC_SOCKET") || !strings.Contains(said, "0700") {
		t.Errorf("it says %q", said)
	}
}
