package execs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
)

func lastOutputArrives(ctx context.Context, e *check.Env) error {
	const budget = 6
	s, c, err := e.Execs(ctx, check.Start{Env: map[string]string{contract.EnvShutdownTimeout: fmt.Sprint(budget)}})
	if err != nil {
		return err
	}
	obeys, err := armed(ctx, s, c, "/tmp/obeys", "on-stop", "/tmp/obeys", "/tmp/obeys", check.Probe, "exit", "0")
	if err != nil {
		return err
	}
	defer obeys.Close()
	resists, err := armed(ctx, s, c, "/tmp/resists", "ignore-term", "/tmp/resists")
	if err != nil {
		return err
	}
	defer resists.Close()
	type end struct {
		check.Outcome
		error
	}
	ends := make(chan end, 1)
	go func() {
		o, err := check.Collect(ctx, obeys)
		ends <- end{o, err}
	}()
	// The supervisor's SIGKILL comes 5 s after the budget, where the grace period is set as documented.
	stop, cancel := context.WithTimeout(ctx, (budget+5)*time.Second)
	defer cancel()
	if _, err := s.Stop(stop); err != nil {
		return check.Failf("an exec that ignores SIGTERM keeps the sandbox from ending within %d s: %v", budget, err)
	}
	said := <-ends
	switch {
	case said.error != nil:
		return said.error
	case !strings.Contains(said.Output, "probe-stop "):
		return check.Failf("of the last output of an exec that was told to end there is %q", said.Output)
	case said.Final.Reason != execapi.Stopped || said.Final.Code != 0:
		return check.Failf("an exec that ended by itself when it was told to has the end %+v", said.Final)
	}
	o, err := check.Collect(ctx, resists)
	if err != nil {
		return err
	}
	if o.Final.Reason != execapi.Stopped || o.Final.Code != 137 {
		return check.Failf("an exec that had to be killed has the end %+v", o.Final)
	}
	return nil
}

// armed starts the probe and waits until it says that it takes signals.
func armed(ctx context.Context, s *check.Sandbox, c *execapi.Client, path string, args ...string) (*execapi.Stream, error) {
	st, err := c.StartAttached(ctx, check.ProbeSpec(args...))
	if err != nil {
		return nil, err
	}
	return st, s.WaitFile(ctx, path+".armed")
}

func killedServerIsFollowed(ctx context.Context, e *check.Env) error {
	s, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	st, err := c.StartAttached(ctx, check.ProbeSpec("stay", "/tmp/pid"))
	if err != nil {
		return err
	}
	defer st.Close()
	if err := s.WaitFile(ctx, "/tmp/pid"); err != nil {
		return err
	}
	status, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if status.State.ExecPID == 0 {
		return check.Failf("status names no process of the exec server")
	}
	if _, err := s.Run(ctx, "kill", strconv.Itoa(status.State.ExecPID), "9"); err != nil {
		return err
	}
	if _, err := check.Collect(ctx, st); err == nil {
		return check.Failf("the stream of an exec whose server was killed has an end")
	}
	x, err := c.Get(ctx, st.Exec.ID)
	if err != nil {
		return check.Failf("the exec of a killed server is forgotten: %v", err)
	}
	if x.Final == nil || x.Final.Reason != execapi.Lost {
		return check.Failf("the exec of a killed server has the end %+v", x.Final)
	}
	if err := gone(ctx, s, "/tmp/pid", "the end of the process of a lost exec"); err != nil {
		return err
	}
	o, err := check.Exec(ctx, c, "exit", "7")
	if err != nil {
		return fmt.Errorf("after its server was killed: %w", err)
	}
	if o.Final.Code != 7 {
		return check.Failf("after the server was killed an exec that ends with 7 has the end %+v", o.Final)
	}
	if status, err = s.Status(ctx); err != nil {
		return err
	}
	if !status.State.Ready {
		return check.Failf("a sandbox whose exec server was killed is not ready any more")
	}
	return nil
}
