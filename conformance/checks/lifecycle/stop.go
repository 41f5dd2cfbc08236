package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

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
