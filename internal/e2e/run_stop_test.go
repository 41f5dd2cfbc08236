package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// awaitStart waits until a sandbox that is being started has got as far as reached says.
func (o *operator) awaitStart(id string, reached func(datadir.Record, contract.State) bool) {
	o.t.Helper()
	s := o.sandboxDir(id)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		o.t.Fatal(err)
	}
	defer w.Close()
	place := filepath.Dir(s.RunDir())
	for _, dir := range []string{filepath.Dir(place), place, s.RunDir()} {
		w.Add(dir) // what is not there yet is added when it is
	}
	deadline := time.After(time.Minute)
	for {
		r, err := s.Load()
		st, _ := s.State()
		if err == nil && reached(r, st) {
			return
		}
		select {
		case <-w.Events:
			w.Add(place)
			w.Add(s.RunDir())
		case <-deadline:
			o.t.Fatalf("the sandbox %s has not got there", id)
		}
	}
}

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
				o := newOperator(t)
				o.data() // whose directories are watched
				p := o.start("run", "--image", standinImage, "--user-id", "u", "--sandbox-id", "starting")
				o.awaitStart("starting", reached)
				if r := o.do(nil, append(strings.Fields(how), "starting")...); r.code != 0 {
					t.Errorf("it says %v", r)
				}
				if r := p.end(); r.code != 143 && r.code != 0 {
					t.Errorf("the run ended as %v", r)
				}
				nothingLeft(t, "starting")
			})
		}
	}
}

// Its reader does not read: neither the stop nor the end of the sandbox waits for that.
func TestRunWithAReaderThatDoesNotReadIsStopped(t *testing.T) {
	for name, both := range map[string]bool{"output": false, "output and errors": true} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := o.command(t.Context(), "run", "--image", standinImage, "--user-id", "u", "--sandbox-id", "unread", "--", "flood")
			cmd.Stdout = w
			if both {
				cmd.Stderr = w
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			w.Close()
			o.data()
			o.awaitStart("unread", func(_ datadir.Record, st contract.State) bool { return st.Ready })
			cmd.Process.Signal(syscall.SIGTERM)
			if e := o.awaitEnded("unread"); e.Outcome != datadir.Stopped || !e.Removed {
				t.Errorf("it ended as %+v", e)
			}
			nothingLeft(t, "unread")
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

func awaitOr(t *testing.T, done <-chan struct{}, late <-chan time.Time, otherwise func()) {
	t.Helper()
	select {
	case <-done:
	case <-late:
		otherwise()
	}
}

// The third signal leaves a sandbox that does not end; the daemon brings it to its end.
func TestRunLeavesAtTheThirdSignal(t *testing.T) {
	o := newOperator(t)
	p := o.start("run", "--image", standinImage, "--user-id", "u", "--sandbox-id", "stubborn", "--stop-timeout", "5", "--", "stubborn")
	p.out.await(t, "stubborn")
	p.signal(syscall.SIGINT)
	p.err.await(t, "saving what has changed")
	p.signal(syscall.SIGINT)
	p.err.await(t, "at once")
	p.signal(syscall.SIGINT)
	if r := p.end(); r.code != 130 || !strings.Contains(r.stderr, "sandbox stop stubborn") {
		t.Errorf("it left as %v", r)
	}
	if e := o.awaitEnded("stubborn"); e.Outcome != datadir.Killed || !e.Kept {
		t.Errorf("it ended as %+v", e)
	}
}

// What is not a wish to end is the command's, of a run and of an exec; an exec's command gets the others too.
func TestSignalsReachTheCommand(t *testing.T) {
	o := newOperator(t)
	p := o.start("run", "--image", standinImage, "--user-id", "u", "--sandbox-id", "told", "--", "signals")
	p.out.await(t, "signals")
	x := o.start("exec", "told", "--", "/standin", "do", "signals")
	x.out.await(t, "signals")
	for _, sig := range []struct {
		n    syscall.Signal
		name string
		run  bool
	}{{syscall.SIGUSR1, "SIGUSR1", true}, {syscall.SIGQUIT, "SIGQUIT", true}, {syscall.SIGINT, "SIGINT", false}} {
		x.signal(sig.n)
		x.out.await(t, "got "+sig.name)
		if sig.run {
			p.signal(sig.n)
			p.out.await(t, "got "+sig.name)
		}
	}
	if n := strings.Count(x.out.String(), "got SIGINT"); n != 1 {
		t.Errorf("one SIGINT came %d times", n)
	}
	x.signal(syscall.SIGTERM)
	if r := x.end(); r.code != 9 {
		t.Errorf("the exec ended as %v", r)
	}
	p.signal(syscall.SIGTERM)
	if r := p.end(); r.code != 143 || strings.Contains(r.stdout, "got SIGTERM") {
		t.Errorf("the run ended as %v", r)
	}
}

// Killed at once, it keeps what is not saved.
func TestKillKeepsTheVolumes(t *testing.T) {
	o := newOperator(t)
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	if r := o.do(nil, "kill", id); r.code != 74 || !strings.Contains(r.stderr, "killed, exit code 137") || !strings.Contains(r.stderr, "sandbox save") {
		t.Errorf("kill: %v", r)
	}
	if volumes(t, id) == "" {
		t.Error("its volumes are gone")
	}
}
