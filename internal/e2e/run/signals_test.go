package run

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"golang.org/x/term"
)

// Ctrl-C, a SIGTERM and a terminal that goes away stop it, and all is saved.
func TestSandboxStopsGracefully(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			o := harness.NewOperator(t)
			p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "stopped-"+t.Name()[strings.LastIndex(t.Name(), "/")+1:], "--", "idle")
			p.Out.Await(t, "idle")
			p.Signal(sig)
			r := p.End()
			if r.Code != 143 || !strings.Contains(r.Stderr, "saving what has changed") || !strings.Contains(r.Stderr, "stopped, exit code 143; everything was saved before") {
				t.Errorf("it ended as %v", r)
			}
		})
	}
}

// The second Ctrl-C reaches the sandbox as a second SIGTERM, and is no kill.
func TestSecondInterruptEndsTheDrain(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "deaf", "--", "deaf")
	p.Out.Await(t, "deaf")
	p.Signal(syscall.SIGINT)
	p.Err.Await(t, "saving what has changed")
	p.Signal(syscall.SIGINT)
	r := p.End()
	if r.Code != 143 || !strings.Contains(r.Stdout, "second signal") || !strings.Contains(r.Stderr, "deaf stopped") {
		t.Errorf("it ended as %v", r)
	}
	harness.NothingLeft(t, "deaf")
}

// When the output has no reader any more, the sandbox is stopped, not left behind.
func TestClosedOutputStopsTheSandbox(t *testing.T) {
	o := harness.NewOperator(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := o.Command(t.Context(), "run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "flood", "--", "flood")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Error(err)
	}
	r.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("it ended with %d", code)
	}
	harness.NothingLeft(t, "flood")
}

// The program that runs it is killed: the sandbox goes on, and can be stopped and saved.
func TestKilledClientLeavesItsSandboxToTheDaemon(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "orphan", "--", "idle")
	p.Out.Await(t, "idle")
	p.Signal(syscall.SIGKILL)
	p.End()
	if l := o.List()["orphan"]; l.State != "ready" || !l.Running {
		t.Errorf("ps says %+v", l)
	}
	if r := o.Do(nil, "stop", "orphan"); r.Code != 0 || !strings.Contains(r.Stderr, "orphan stopped, exit code 143") {
		t.Errorf("stop: %v", r)
	}
	harness.NothingLeft(t, "orphan")
}

// A terminal: its size and each new one, keys as they are typed, and given back as it was.
func TestTerminalIsPassedThrough(t *testing.T) {
	o := harness.NewOperator(t)
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 31, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	cmd := o.Command(t.Context(), "run", "-it", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "tty", "--", "tty")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := harness.NewScreen()
	go io.Copy(shown, ptmx)
	shown.Await(t, "size 101 31 <nil>")
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 40, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	shown.Await(t, "size 132 40 <nil>")
	if _, err := io.WriteString(ptmx, "typ\x7fed\x10\r"); err != nil { // a backspace, a ctrl-p
		t.Fatal(err)
	}
	shown.Await(t, "line tyed\x10\r\n")
	shown.Await(t, "tty completed, exit code 0")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	after, err := term.GetState(int(tty.Fd()))
	if err != nil || *after != *before {
		t.Errorf("the terminal is left as %+v, %v; it was %+v", after, err, before)
	}
}

func TestTerminalIsRefusedWithoutOne(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(strings.NewReader(""), "u", "-it", "--", "tty"); r.Code != 125 || !strings.Contains(r.Stderr, "leave out -t") {
		t.Errorf("it says %v", r)
	}
	if l := o.List("-a"); len(l) != 0 {
		t.Errorf("it has left %v", l)
	}
}
