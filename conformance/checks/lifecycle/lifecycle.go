// Package lifecycle has the checks of a sandbox from its start to its stop: LIFE.
package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "LIFE-001", Run: readyIsTrue},
	{ID: "LIFE-002", Run: exitCodesAreKept},
	{ID: "LIFE-003", Run: stopIsInTime},
	{ID: "LIFE-004", Run: everyProcessIsSignalled},
	{ID: "LIFE-005", Run: orphansAreReaped},
	{ID: "LIFE-006", Run: signalsArrive},
	{ID: "LIFE-007", Run: preStartHooks},
	{ID: "LIFE-008", Run: preStopHooks},
	{ID: "LIFE-009", Run: statusIsTrue},
	{ID: "LIFE-010", Run: idleStays},
	{ID: "LIFE-011", Run: cleanupEnds},
}

func readyIsTrue(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	w.Link.Cut() // S3 is away: hydrate cannot complete
	s, err := e.Start(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, contract.DefaultRunDir+"/"+contract.StateFileName); err != nil {
		return err
	}
	if code, _, err := s.Exec(ctx, "0", check.Probe, "exists", contract.DefaultReadyFile); err != nil {
		return err
	} else if code == 0 {
		return check.Failf("%s exists before the home is hydrated", contract.DefaultReadyFile)
	}
	w.Link.Mend()
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	seen, err := e.WhileStopping(ctx)
	if err != nil {
		return err
	}
	if strings.Contains(seen, "file=true") {
		return check.Failf("%s still exists while the sandbox is being stopped", contract.DefaultReadyFile)
	}
	return nil
}

func exitCodesAreKept(ctx context.Context, e *check.Env) error {
	for _, tc := range []struct {
		what string
		cmd  []string
		want int
	}{
		{"a command that ends with 0", []string{check.Probe, "exit", "0"}, 0},
		{"a command that ends with 42", []string{check.Probe, "exit", "42"}, 42},
		{"a command that SIGKILL ends", []string{check.Probe, "kill-self", "9"}, 137},
		{"a command that SIGABRT ends", []string{check.Probe, "kill-self", "6"}, 134},
		{"a command that does not exist", []string{"/no/such/command"}, contract.ExitNotFound},
		{"a command that is no program", []string{"/etc/passwd"}, contract.ExitNotExecutable},
	} {
		s, err := e.Start(ctx, check.Start{Cmd: tc.cmd})
		if err != nil {
			return err
		}
		code, err := s.Wait(ctx)
		if err != nil {
			return err
		}
		if code != tc.want {
			return check.Failf("%s ends the container with %d, not %d", tc.what, code, tc.want)
		}
	}
	return nil
}

func stopIsInTime(ctx context.Context, e *check.Env) error {
	const budget = 6
	s, err := e.Start(ctx, check.Start{
		Cmd: []string{check.Probe, "ignore-term", "/tmp/term"}, Env: map[string]string{contract.EnvShutdownTimeout: fmt.Sprint(budget)},
	})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, "/tmp/term.armed"); err != nil {
		return err
	}
	// The supervisor's SIGKILL comes 5 s after the budget, where the grace period is set as documented.
	stop, cancel := context.WithTimeout(ctx, (budget+5)*time.Second)
	defer cancel()
	code, err := s.Stop(stop)
	if err != nil {
		logs, _ := s.Logs(ctx)
		return check.Fail(fmt.Sprintf("a command that ignores SIGTERM keeps the sandbox from ending within %d s: %v", budget, err), logs)
	}
	if code != 137 {
		return check.Failf("a command that had to be killed ends the container with %d, not 137", code)
	}
	return nil
}

// everyProcessIsSignalled stops a sandbox with a second session in it; both write down that they
// were told to end, into S3 by way of the home.
func everyProcessIsSignalled(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	s, err := e.Start(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "on-term", contract.DefaultHotPath + "/command"}})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, contract.DefaultHotPath+"/command.armed"); err != nil {
		return err
	}
	// The session is left running: its own end is the end of the stream.
	session, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _, _ = s.Exec(session, "1000", check.Probe, "on-term", contract.DefaultHotPath+"/session")
	}()
	if err := s.WaitFile(ctx, contract.DefaultHotPath+"/session.armed"); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := s.Stop(ctx); err != nil {
		return err
	}
	e.Saw("two processes were stopped in %s", time.Since(begin).Round(time.Millisecond))
	for _, who := range []string{"command", "session"} {
		if _, ok, err := w.Get(ctx, "hot/"+who); err != nil {
			return err
		} else if !ok {
			return check.Fail(fmt.Sprintf("the %s was not told to end, or what it wrote then was not saved", who), "let sandbox-init be PID 1, and let no hook or wrapper swallow SIGTERM")
		}
	}
	return nil
}

func orphansAreReaped(ctx context.Context, e *check.Env) error {
	s, err := e.Start(ctx, check.Start{})
	if err != nil {
		return err
	}
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	if _, err := s.Run(ctx, "orphans", "500"); err != nil {
		return err
	}
	return check.Eventually(ctx, "the reaping of 500 orphans", func() (bool, error) {
		out, err := s.RunAs(ctx, "0", "zombies")
		return out == "0", err
	})
}

func signalsArrive(ctx context.Context, e *check.Env) error {
	s, err := e.Start(ctx, check.Start{Cmd: []string{check.Probe, "signals", "/tmp/signals"}})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, "/tmp/signals.armed"); err != nil {
		return err
	}
	for _, name := range []string{"SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGQUIT", "SIGCONT"} {
		if err := s.Signal(ctx, name); err != nil {
			return err
		}
		if err := s.WaitFile(ctx, "/tmp/signals."+name); err != nil {
			return fmt.Errorf("%s did not reach the command: %w", name, err)
		}
	}
	return nil
}

func preStartHooks(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/stored", []byte("x"), nil); err != nil {
		return err
	}
	// Each needs what comes before it: the home, the first hook, the second one.
	good, err := e.Hook("10-first", "rename", check.Home("stored"), check.Home("seen-by-a-hook"))
	if err != nil {
		return err
	}
	if err := check.AddHook(good, "20-second", "rename", check.Home("seen-by-a-hook"), check.Home("seen-by-both")); err != nil {
		return err
	}
	if err := check.AddHook(good, "30-third", "touch", "/tmp/hook"); err != nil {
		return err
	}
	s, err := e.Start(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "owner", "/tmp/hook"}, Binds: []string{good + ":" + contract.PreStartDir + ":ro"}})
	if err != nil {
		return err
	}
	if err := s.ExpectExit(ctx, 0, "probe-owner 1000"); err != nil {
		return err
	}
	if _, ok, err := w.Get(ctx, "hot/seen-by-both"); err != nil {
		return err
	} else if !ok {
		return check.Failf("the pre-start hooks did not run in name order on a hydrated home")
	}
	bad, err := e.Hook("20-broken-preparation", "exit", "3")
	if err != nil {
		return err
	}
	s, err = e.Start(ctx, check.Start{Cmd: []string{check.Probe, "say", "started"}, Binds: []string{bad + ":" + contract.PreStartDir + ":ro"}})
	if err != nil {
		return err
	}
	code, err := s.Wait(ctx)
	if err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	switch {
	case strings.Contains(logs, "probe-said started"):
		return check.Failf("the command was started although a pre-start hook failed")
	case code == 0:
		return check.Failf("a failed pre-start hook ends the container with 0")
	case !strings.Contains(logs, "20-broken-preparation"):
		return check.Failf("the log does not name the hook that failed:\n%s", logs)
	}
	return nil
}

func preStopHooks(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	dir, err := e.Hook("10-works", "touch", check.Home("from-hook"))
	if err != nil {
		return err
	}
	if err := check.AddHook(dir, "20-fails", "exit", "3"); err != nil {
		return err
	}
	if err := check.AddHook(dir, "30-hangs", "ignore-term", "/tmp/hook"); err != nil {
		return err
	}
	s, err := e.Start(ctx, check.Start{
		Workspace: w, Cmd: []string{check.Probe, "on-term", contract.DefaultHotPath + "/work"},
		Binds: []string{dir + ":" + contract.PreStopDir + ":ro"},
	})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, contract.DefaultHotPath+"/work.armed"); err != nil {
		return err
	}
	if _, err := s.Stop(ctx); err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	if _, ok, err := w.Get(ctx, "hot/work"); err != nil {
		return err
	} else if !ok {
		return check.Failf("a pre-stop hook that hangs kept the home from being saved:\n%s", logs)
	}
	if o, ok, err := w.Get(ctx, "hot/from-hook"); err != nil {
		return err
	} else if !ok || o.Metadata["file-owner"] != strconv.Itoa(contract.AgentUID) {
		return check.Failf("what a pre-stop hook wrote into the home is not in S3 as the agent's (owner %q)", o.Metadata["file-owner"])
	}
	for _, name := range []string{"20-fails", "30-hangs"} {
		if !strings.Contains(logs, name) {
			return check.Failf("the log does not name the pre-stop hook %s, which failed:\n%s", name, logs)
		}
	}
	return nil
}

func statusIsTrue(ctx context.Context, e *check.Env) error {
	s, err := e.Start(ctx, check.Start{})
	if err != nil {
		return err
	}
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if st.State.Phase != contract.PhaseRun || !st.State.Ready || st.State.Storage != contract.StorageNone || st.State.Isolation != contract.IsolationFull {
		return check.Failf("a sandbox without a bucket, started as root, says phase %q, ready %t, storage %q, isolation %q", st.State.Phase, st.State.Ready, st.State.Storage, st.State.Isolation)
	}
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	s, err = e.Start(ctx, check.Start{Workspace: w, Mode: check.AsAgent})
	if err != nil {
		return err
	}
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	if st, err = s.Status(ctx); err != nil {
		return err
	}
	if st.State.Storage != contract.StorageS3 || st.State.Isolation != contract.IsolationNone || st.Storage == nil {
		return check.Failf("a sandbox with a bucket, started as the agent, says storage %q, isolation %q, details %v", st.State.Storage, st.State.Isolation, st.Storage)
	}
	return nil
}

func idleStays(ctx context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	if len(im.Config.Config.Cmd) > 0 {
		e.Saw("the image has a default command: %q", im.Config.Config.Cmd)
	}
	s, err := e.Start(ctx, check.Start{})
	if err != nil {
		return err
	}
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	if _, err := s.Run(ctx, "exit", "0"); err != nil {
		return check.Failf("nothing can be run in an idle sandbox: %v", err)
	}
	code, err := s.Stop(ctx)
	if err != nil {
		return err
	}
	if code != 0 {
		return check.Failf("an idle sandbox that is stopped ends with %d, not 0", code)
	}
	return nil
}

// cleanupEnds stops a sandbox whose command then starts a process that takes a second to write
// into the home.
func cleanupEnds(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	s, err := e.Start(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "cleanup", contract.DefaultHotPath + "/cleanup"}})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, contract.DefaultHotPath+"/cleanup.armed"); err != nil {
		return err
	}
	code, err := s.Stop(ctx)
	if err != nil {
		return err
	}
	if code != 0 {
		return check.Failf("a command whose cleanup takes a second ends with %d, not 0: its cleanup was ended", code)
	}
	if o, ok, err := w.Get(ctx, "hot/cleanup"); err != nil {
		return err
	} else if !ok || string(o.Body) != "saved\n" {
		return check.Fail("what a command's cleanup wrote was not saved", "send no signal to what starts after SIGTERM, and flush when nothing is left")
	}
	return nil
}
