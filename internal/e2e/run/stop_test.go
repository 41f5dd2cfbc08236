package run

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A stop, or a removal by force, that comes while a sandbox starts is carried out: before there is a
// container, before it runs, and when it has just begun to.
func TestStopWhileASandboxStartsIsNotLost(t *testing.T) {
	for name, reached := range map[string]func(datadir.Record, contract.State) bool{
		"recorded":      func(datadir.Record, contract.State) bool { return true },
		"limits chosen": func(r datadir.Record, _ contract.State) bool { return r.Limits.Memory != 0 },
		"container":     func(r datadir.Record, _ contract.State) bool { return r.Container != "" },
		"booting":       func(_ datadir.Record, st contract.State) bool { return st.Phase != "" },
	} {
		for _, how := range []string{"stop", "rm -f"} {
			t.Run(name+", "+how, func(t *testing.T) {
				o := harness.NewOperator(t)
				o.Data() // whose directories are watched
				p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "starting")
				o.AwaitStart("starting", reached)
				if r := o.Do(nil, append(strings.Fields(how), "starting")...); r.Code != 0 {
					t.Errorf("it says %v", r)
				}
				// 2 is how a Go program ends that is PID 1 and has not asked for signals yet.
				if r := p.End(); r.Code != 143 && r.Code != 0 && r.Code != 2 {
					t.Errorf("the run ended as %v", r)
				}
				harness.NothingLeft(t, "starting")
			})
		}
	}
}

// Its reader does not read: neither the stop nor the end of the sandbox waits for that.
func TestSandboxWithAStalledReaderIsStopped(t *testing.T) {
	for name, both := range map[string]bool{"output": false, "output and errors": true} {
		t.Run(name, func(t *testing.T) {
			o := harness.NewOperator(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := o.Command(t.Context(), "run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "unread", "--", "flood")
			cmd.Stdout = w
			if both {
				cmd.Stderr = w
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			w.Close()
			o.Data()
			o.AwaitStart("unread", func(_ datadir.Record, st contract.State) bool { return st.Ready })
			awaitFull(t, r)
			cmd.Process.Signal(syscall.SIGTERM)
			if e := o.AwaitEnded("unread"); e.Outcome != datadir.Stopped || !e.Removed {
				t.Errorf("it ended as %+v", e)
			}
			harness.NothingLeft(t, "unread")
			cmd.Process.Signal(syscall.SIGTERM) // which gives up the reader
			done := make(chan struct{})
			go func() {
				cmd.Wait()
				close(done)
			}()
			if both { // and the reader of what is said
				awaitOr(t, done, time.After(5*time.Second), func() { cmd.Process.Signal(syscall.SIGTERM) })
			}
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("it has not ended")
			}
			if code := cmd.ProcessState.ExitCode(); code != 143 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// awaitFull waits until nothing more fits into a pipe.
func awaitFull(t *testing.T, r *os.File) {
	t.Helper()
	size, err := unix.FcntlInt(r.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		// Pages that are not full count as well.
		if n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err != nil || n > size/2 {
			return
		}
	}
	t.Fatal("the pipe does not fill")
}

func awaitOr(t *testing.T, done <-chan struct{}, late <-chan time.Time, otherwise func()) {
	t.Helper()
	select {
	case <-done:
	case <-late:
		otherwise()
	}
}

// The third signal leaves a sandbox that does not end; the daemon brings it to its end.
func TestClientLeavesAtTheThirdSignal(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "stubborn", "--stop-timeout", "5", "--", "stubborn")
	p.Out.Await(t, "stubborn")
	p.Signal(syscall.SIGINT)
	p.Err.Await(t, "saving what has changed")
	p.Signal(syscall.SIGINT)
	p.Err.Await(t, "at once")
	p.Signal(syscall.SIGINT)
	if r := p.End(); r.Code != 130 || !strings.Contains(r.Stderr, "sandbox stop stubborn") {
		t.Errorf("it left as %v", r)
	}
	if e := o.AwaitEnded("stubborn"); e.Outcome != datadir.Killed || !e.Kept {
		t.Errorf("it ended as %+v", e)
	}
}

// What is not a wish to end is the command's, of a run and of an exec; an exec's command gets the others too.
func TestSignalsReachTheCommand(t *testing.T) {
	o := harness.NewOperator(t)
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "told", "--", "signals")
	p.Out.Await(t, "signals")
	x := o.Start("exec", "told", "--", "/fakeinit", "do", "signals")
	x.Out.Await(t, "signals")
	for _, sig := range []struct {
		n    syscall.Signal
		name string
		run  bool
	}{{syscall.SIGUSR1, "SIGUSR1", true}, {syscall.SIGQUIT, "SIGQUIT", true}, {syscall.SIGINT, "SIGINT", false}} {
		x.Signal(sig.n)
		x.Out.Await(t, "got "+sig.name)
		if sig.run {
			p.Signal(sig.n)
			p.Out.Await(t, "got "+sig.name)
		}
	}
	if n := strings.Count(x.Out.String(), "got SIGINT"); n != 1 {
		t.Errorf("one SIGINT came %d times", n)
	}
	x.Signal(syscall.SIGTERM)
	if r := x.End(); r.Code != 9 {
		t.Errorf("the exec ended as %v", r)
	}
	p.Signal(syscall.SIGTERM)
	if r := p.End(); r.Code != 143 || strings.Contains(r.Stdout, "got SIGTERM") {
		t.Errorf("the run ended as %v", r)
	}
}

// Killed at once, it keeps what is not saved.
func TestKillKeepsTheHome(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	if r := o.Do(nil, "kill", id); r.Code != 74 || !strings.Contains(r.Stderr, "killed, exit code 137") || !strings.Contains(r.Stderr, "sandbox save") {
		t.Errorf("kill: %v", r)
	}
	if !o.HasHome(id) {
		t.Error("its home is gone")
	}
}
