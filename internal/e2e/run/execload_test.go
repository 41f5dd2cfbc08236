package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/execapi"
	hostrun "github.com/matrx/sandbox/internal/host/sandbox/run"
)

// client reaches a sandbox's exec server as `sandbox exec` does.
func client(o *harness.Operator, id string) *execapi.Client {
	o.T.Helper()
	s, err := hostrun.ConnectExec(o.T.Context(), o.Data(), id)
	if err != nil {
		o.T.Fatal(err)
	}
	o.T.Cleanup(s.Close)
	return s.Client
}

// final reads a stream to its end and gives the bytes that came.
func final(st *execapi.Stream) (bytes int64, f execapi.Final, err error) {
	defer st.Close()
	for {
		e, err := st.Next()
		switch {
		case err != nil:
			return bytes, f, err
		case e.Final != nil:
			return bytes, *e.Final, nil
		case e.Type == execapi.FrameGap:
			return bytes, f, fmt.Errorf("after %d bytes there is a gap: %+v", bytes, e.Gap)
		}
		bytes += int64(len(e.Data))
	}
}

// sound holds that a sandbox's exec server has never been lost and takes no more memory than it may, and stops the sandbox.
func sound(o *harness.Operator, id string) {
	o.T.Helper()
	st, err := o.SandboxDir(id).State()
	if err != nil || st.ExecRestarts != 0 || !st.Ready {
		o.T.Errorf("the sandbox is not what it was: %+v, %v", st, err)
	}
	const most = 128 << 10 // kB: 64 MiB, and what the runtime takes over it
	peak := o.OK("exec", id, "--", "sh", "-c", `sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' /proc/$PPID/status`)
	if kb, err := strconv.Atoi(peak); err != nil || kb > most {
		o.T.Errorf("the exec server has taken %q kB; at most %d", peak, most)
	}
	o.T.Logf("the exec server has taken %s kB at most", peak)
	o.OK("stop", id)
}

// TestTwoHundredExecsAtOnce: each has 20 MB to say, in a sandbox with 4 GB and 300 processes; and 250, whose processes
// take no notice of SIGTERM, reach their timeout at once.
func TestTwoHundredExecsAtOnce(t *testing.T) {
	o, id := execBox(t, "--memory", "4g", "--processes", "300")
	c := client(o, id)
	const each = 20_000_000
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			st, err := c.StartAttached(t.Context(), execapi.Spec{Args: []string{"head", "-c", fmt.Sprint(each), "/dev/zero"}})
			if err != nil {
				t.Error(err)
				return
			}
			if n, f, err := final(st); n != each || f.Reason != execapi.Exited || f.Output != each || err != nil {
				t.Errorf("%d bytes of %d arrive, then %+v, %v", n, each, f, err)
			}
		})
	}
	all.Wait()
	const timeout = 5 * time.Second
	for range 250 {
		all.Go(func() {
			st, err := c.StartAttached(t.Context(), execapi.Spec{Args: []string{"sh", "-c", "trap '' TERM; exec sleep 1000"}, Timeout: timeout})
			if err != nil {
				t.Error(err)
				return
			}
			if _, f, err := final(st); f.Reason != execapi.TimedOut || err != nil {
				t.Errorf("it ends with %+v, %v", f, err)
			}
		})
	}
	all.Wait()
	var late time.Duration
	for _, x := range execs(o, id) {
		if x.Timeout > 0 {
			late = max(late, x.Final.Ended.Sub(x.Started)-x.Timeout)
		}
	}
	t.Logf("the last timeout was %s late", late.Round(time.Millisecond))
	sound(o, id)
}

// TestExecThatTakesAllMemoryEndsSo: the kernel has ended it, and no other process.
func TestExecThatTakesAllMemoryEndsSo(t *testing.T) {
	o, id := execBox(t, "--memory", "256m")
	// The daemon finds it within a moment.
	const found = `until grep -q /workload /proc/self/cgroup; do :; done; `
	st, err := client(o, id).StartAttached(t.Context(), execapi.Spec{Args: []string{"bash", "-c", found + "exec tail /dev/zero"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, f, err := final(st); f.Reason != execapi.OOM || f.Code != 137 || err != nil {
		t.Errorf("it ends with %+v, %v", f, err)
	}
	sound(o, id)
}

// TestExecServerOutlivesForkBomb: its exec's timeout ends it, with all that it has become.
func TestExecServerOutlivesForkBomb(t *testing.T) {
	o, id := execBox(t, "--processes", "100")
	c := client(o, id)
	for range 3 {
		st, err := c.StartAttached(t.Context(), execapi.Spec{Args: []string{"bash", "-c", "b() { b | b & }; while :; do b; done 2>/dev/null"}, Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		made := []string{st.Exec.ID}
		for range 20 { // while there is no room for another process
			switch x, err := c.Start(t.Context(), execapi.Spec{Args: []string{"true"}}); {
			case err == nil:
				made = append(made, x.ID)
			case !errors.Is(err, execapi.ErrTooMany):
				t.Errorf("beside it: %v", err)
			}
		}
		if _, f, err := final(st); f.Reason != execapi.TimedOut || err != nil {
			t.Errorf("it ends with %+v, %v", f, err)
		}
		for _, exec := range made {
			if err := c.Remove(t.Context(), exec); err != nil { // it returns when none of its processes is left
				t.Error(err)
			}
		}
		if r := o.Do(nil, "exec", id, "--", "pgrep", "-fc", "b[(][)]"); r.Stdout != "0\n" {
			t.Errorf("of its processes there are %v", r)
		}
	}
	sound(o, id)
}

// TestClientsKilledAtAnyInstantLeaveNothing: neither an exec that runs nor a part of a file.
func TestClientsKilledAtAnyInstantLeaveNothing(t *testing.T) {
	o, id := execBox(t)
	began := time.Now()
	o.OK("exec", id, "--", "true")
	usual := time.Since(began)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 32<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	o.OK("cp", file, id+":file")
	for i := range 60 {
		args := [][]string{
			{"exec", id, "--", "sh", "-c", "trap '' HUP; while :; do echo x; done"},
			{"exec", id, "--", "sleep", "1000"},
			{"exec", "--timeout", "50ms", id, "--", "sleep", "1000"},
			{"cp", id + ":file", t.TempDir()},
			{"cp", id + ":file", "-"},
			{"cp", file, id + ":in"},
		}[i%6]
		cmd := o.Command(t.Context(), args...)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(rand.N(2*usual), func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		_ = cmd.Wait()
	}
	c := client(o, id)
	list, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		st, err := c.Attach(t.Context(), x.ID, x.To)
		if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(time.Minute, func() { st.Close() })
		if _, _, err := final(st); err != nil {
			t.Errorf("%q runs on without its client: %v", x.Args, err)
		}
		stop.Stop()
	}
	if r := o.Do(nil, "exec", "--timeout", "1m", id, "--", "sh", "-c", "while ls -A | grep hydrate; do sleep 0.1; done"); r.Code != 0 {
		t.Errorf("these are left: %v", r)
	}
	sound(o, id)
}
