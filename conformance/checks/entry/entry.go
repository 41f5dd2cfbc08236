// Package entry has the checks of how an image is started, stopped and asked for its health:
// ENTRY-001 to ENTRY-005.
package entry

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "ENTRY-001", Static: true, Run: entrypointIsInit},
	{ID: "ENTRY-002", Run: oldEntrypointIsAWrapper},
	{ID: "ENTRY-003", Static: true, Run: stopSignalIsTerm},
	{ID: "ENTRY-004", Run: healthFollowsReadiness},
	{ID: "ENTRY-005", Static: true, Run: userIsAgent},
}

func entrypointIsInit(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	want := []string{contract.InitBinary, "--"}
	if got := im.Config.Config.Entrypoint; !slices.Equal(got, want) {
		return check.Fail(fmt.Sprintf("the entrypoint is %q, not %q", got, want), "set no ENTRYPOINT: it is inherited. Put what must run first into "+contract.PreStartDir)
	}
	if f := im.Resolve(contract.InitBinary); f == nil || f.Mode&0o005 != 0o005 || f.UID != 0 || f.AgentMayWrite() {
		return check.Failf("%s is missing, cannot be executed by the agent, or can be written by it", contract.InitBinary)
	}
	return nil
}

func oldEntrypointIsAWrapper(ctx context.Context, e *check.Env) error {
	s, err := e.Start(ctx, check.Start{Entrypoint: []string{path.Join(contract.ScriptsDir, "entrypoint.sh")}, Cmd: []string{check.Probe, "exit", "7"}})
	if err != nil {
		return err
	}
	if err := s.ExpectExit(ctx, 7); err != nil {
		return err
	}
	idle, err := e.Start(ctx, check.Start{Entrypoint: []string{path.Join(contract.ScriptsDir, "entrypoint.sh")}})
	if err != nil {
		return err
	}
	if err := idle.WaitReady(ctx); err != nil {
		return err
	}
	out, err := idle.RunAs(ctx, "0", "exe", "1")
	if err != nil {
		return err
	}
	if out != contract.InitBinary {
		return check.Fail(fmt.Sprintf("PID 1 is %s, not %s", out, contract.InitBinary), "end entrypoint.sh with exec")
	}
	return nil
}

func stopSignalIsTerm(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	// An image that says nothing gets the engine's default, which is SIGTERM too.
	if got := im.Config.Config.StopSignal; !slices.Contains([]string{"", "SIGTERM", "TERM", "15"}, got) {
		return check.Fail(fmt.Sprintf("the stop signal is %s", got), "set no STOPSIGNAL: it is inherited")
	}
	return nil
}

func healthFollowsReadiness(ctx context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	want := []string{"CMD", contract.InitBinary, "healthcheck"}
	if h := im.Config.Config.Healthcheck; h == nil || !slices.Equal(h.Test, want) {
		return check.Fail(fmt.Sprintf("the health check is %v, not %q", h, want), "set no HEALTHCHECK: it is inherited")
	}
	s, w, err := e.Hydrating(ctx)
	if err != nil {
		return err
	}
	if code, out, err := s.Exec(ctx, "", contract.InitBinary, "healthcheck"); err != nil {
		return err
	} else if code == 0 {
		return check.Failf("a sandbox whose home is not hydrated is healthy: %s", out)
	}
	w.Link.Mend()
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	if code, out, err := s.Exec(ctx, "", contract.InitBinary, "healthcheck"); err != nil {
		return err
	} else if code != 0 {
		return check.Failf("a sandbox that is ready is not healthy: %d, %s", code, out)
	}
	seen, err := e.WhileStopping(ctx)
	if err != nil {
		return err
	}
	if strings.Contains(seen, "code=0") {
		return check.Failf("a sandbox that is being stopped is healthy: %s", seen)
	}
	return nil
}

func userIsAgent(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	// "sandbox" is the agent's second name; the numeric forms are the same user.
	if got := im.Config.Config.User; !slices.Contains([]string{"agent", "sandbox", "1000", "1000:1000", "agent:agent"}, got) {
		return check.Fail(fmt.Sprintf("the image's user is %q", got), "end the Dockerfile with USER agent")
	}
	return nil
}
