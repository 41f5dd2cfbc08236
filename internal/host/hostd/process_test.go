package hostd

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// ensure holds on to a daemon and stops the daemon that there is when the test ends.
func ensure(t *testing.T, d datadir.Dir) (*Client, *Hold) {
	t.Helper()
	c, h, err := Ensure(t.Context(), d, self)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Release()
		if st, err := c.Status(context.Background()); err == nil { // the test's own context is done
			stop(t, st.PID)
		}
		c.Close()
	})
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(d.Hostd(), logName))
			t.Logf("the daemon's log:\n%s", b)
		}
	})
	return c, h
}

func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
	awaitDeath(t, pid)
}

func pidOf(t *testing.T, c *Client) int {
	t.Helper()
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.PID
}

// Runs that begin at once share one daemon and one embedded S3.
func TestOneDaemonForAll(t *testing.T) {
	d := newDir(t)
	var mu sync.Mutex
	pids := map[int]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c, h, err := Ensure(t.Context(), d, self)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			defer h.Release()
			st, err := c.Status(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			pids[st.PID]++
			mu.Unlock()
		})
	}
	all.Wait()
	c, _ := ensure(t, d)
	if len(pids) != 1 || pids[pidOf(t, c)] != 8 {
		t.Errorf("the daemons are %v", pids)
	}
}

// What was stored survives the daemon's SIGKILL, and every socket comes back in the same
// directory: the guard starts the next daemon, before a program asks for one.
func TestAKilledDaemonComesBack(t *testing.T) {
	d := newDir(t)
	c, h := ensure(t, d)
	one, two := newSandbox(t, d, "one", "u1"), newSandbox(t, d, "two", "u2")
	for _, s := range []datadir.Sandbox{one, two} {
		if err := c.Serve(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	mustAsk(t, one, "PUT", "users/u1/hot/a", "of one")
	mustAsk(t, two, "PUT", "users/u2/hot/a", "of two")
	before, err := os.Stat(one.HostDir())
	if err != nil {
		t.Fatal(err)
	}

	killed := pidOf(t, c)
	awaitLog(t, d, "guard_started", 1)
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Lost()
	awaitLog(t, d, "daemon_ready", 2) // the guard's doing: no program asks
	if got := mustAsk(t, one, "GET", "users/u1/hot/a", ""); got != "of one" {
		t.Errorf("one holds %q", got)
	}
	if got := mustAsk(t, two, "GET", "users/u2/hot/a", ""); got != "of two" {
		t.Errorf("two holds %q", got)
	}
	after, err := os.Stat(one.HostDir())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the mounted directory was replaced: %v", err)
	}
	if pid := pidOf(t, c); pid == killed {
		t.Error("the same process answers")
	}
}

// A kill of the guard first does not get rid of the daemon either.
func TestAKilledGuardComesBack(t *testing.T) {
	d := newDir(t)
	c, h := ensure(t, d)
	newSandbox(t, d, "one", "u1")
	if err := c.Serve(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, d, "guard_started", 1)
	if err := syscall.Kill(guardPID(t, d), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, d, "guard_started", 2)
	if err := syscall.Kill(pidOf(t, c), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Lost()
	awaitLog(t, d, "daemon_ready", 2)
}

// guardPID is the newest guard's, from the log.
func guardPID(t *testing.T, d datadir.Dir) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.Hostd(), logName))
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for line := range strings.Lines(string(b)) {
		var l struct {
			Event string `json:"event"`
			PID   int    `json:"guard_pid"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Event == "guard_started" {
			pid = l.PID
		}
	}
	return pid
}

// A program that holds on to a daemon starts the next one itself.
func TestAHolderStartsTheNextDaemon(t *testing.T) {
	d := newDir(t)
	c, h := ensure(t, d)
	awaitLog(t, d, "guard_started", 1)
	killed, guard := pidOf(t, c), guardPID(t, d)
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Lost()
	again, err := c.Again(t.Context(), d, self)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	defer awaitDeath(t, guard) // it finds that there is one
	if pid := pidOf(t, c); pid == killed {
		t.Error("the same process answers")
	}
}

// Nothing is left behind when no program needs it: neither daemon nor guard.
func TestDaemonEndsWhenNoProgramNeedsIt(t *testing.T) {
	t.Setenv("HOSTD_TEST_LINGER", "10ms")
	d := newDir(t)
	c, h, err := Ensure(t.Context(), d, self)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	awaitLog(t, d, "guard_started", 1)
	pid, guard := pidOf(t, c), guardPID(t, d)
	h.Release()
	awaitDeath(t, pid)
	awaitDeath(t, guard)
	if names, _ := filepath.Glob(filepath.Join(d.Hostd(), "*.sock")); len(names) != 0 {
		t.Errorf("left %v", names)
	}
}

// A daemon that cannot begin says why to the program that wanted it.
func TestADaemonThatCannotBeginSaysWhy(t *testing.T) {
	d := newDir(t)
	if err := os.Mkdir(filepath.Join(d.Hostd(), controlName), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := Ensure(t.Context(), d, self)
	if err == nil || !strings.Contains(err.Error(), controlName) || !strings.Contains(err.Error(), "log is") {
		t.Errorf("Ensure gives %v", err)
	}
}
