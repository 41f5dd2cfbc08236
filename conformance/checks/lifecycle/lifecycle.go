// Package lifecycle has the checks of a sandbox from its start to its stop: LIFE.
package lifecycle

import (
	"context"
	"fmt"
	"strings"

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
	s, w, err := e.Hydrating(ctx)
	if err != nil {
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
