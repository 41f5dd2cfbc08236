// Package execs has the checks of the exec server, by which a host starts processes and reaches files and ports: EXEC.
package execs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "EXEC-001", Run: socketIsTheHosts},
	{ID: "EXEC-002", Run: execIsWhatTheCommandIs},
	{ID: "EXEC-003", Run: endIsTold},
	{ID: "EXEC-004", Run: inputAndTerminal},
	{ID: "EXEC-005", Run: outputOutlivesConnection},
	{ID: "EXEC-006", Run: descendantsEnd},
	{ID: "EXEC-007", Run: filesByTheAgentsRights},
	{ID: "EXEC-008", Run: portsAreConnected},
	{ID: "EXEC-009", Run: lastOutputArrives},
	{ID: "EXEC-010", Run: killedServerIsFollowed},
}

func socketIsTheHosts(ctx context.Context, e *check.Env) error {
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	if list, err := c.List(ctx); err != nil || len(list) > 0 {
		return check.Failf("what answers on the socket is no exec server without execs: %v, %v", list, err)
	}
	for _, tc := range []struct {
		what string
		mode check.Mode
		open bool // the directory
	}{
		{"the agent may enter the socket's directory", check.AsRoot, true},
		{"the start is the agent's", check.AsAgent, false},
	} {
		with, _, err := e.WithExecs(check.Start{Mode: tc.mode})
		if err != nil {
			return err
		}
		if tc.open {
			with.Tmpfs[contract.HostDir] = "mode=0755"
		}
		s, err := e.Start(ctx, with)
		if err != nil {
			return err
		}
		if err := s.ExpectExit(ctx, contract.ExitConfig, contract.EnvExecSocket); err != nil {
			return check.Failf("%s: %v", tc.what, err)
		}
	}
	return nil
}

func execIsWhatTheCommandIs(ctx context.Context, e *check.Env) error {
	start, _, err := e.WithExecs(check.Start{})
	if err != nil {
		return err
	}
	command, err := e.Self(ctx, start)
	if err != nil {
		return err
	}
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	spec := check.ProbeSpec("self")
	spec.Env = []string{"CONFORMANCE=asked for"}
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return err
	}
	o, err := check.Collect(ctx, st)
	if err != nil {
		return err
	}
	exec, ok, err := check.ParseSelf(o.Output)
	if err != nil || !ok {
		return check.Failf("the exec ends with %+v and prints %q: %v", o.Final, o.Output, err)
	}
	rights := func(s check.Self) string {
		return fmt.Sprintf("UID %d/%d, GID %d/%d, groups %v, umask %03o, no_new_privs %t, capabilities %v", s.UID, s.EUID, s.GID, s.EGID, s.Groups, s.Umask, s.NoNewPrivs, s.Caps)
	}
	e.Saw("an exec has %s", rights(exec))
	if exec, command := rights(exec), rights(command); exec != command {
		return check.Failf("an exec has %s; the command has %s", exec, command)
	}
	if got := exec.Env["CONFORMANCE"]; got != "asked for" {
		return check.Failf("an exec that asks for a variable sees %q in it", got)
	}
	const container = "HOSTNAME" // each container has its own
	for _, name := range slices.Sorted(maps.Keys(command.Env)) {
		if got, want := exec.Env[name], command.Env[name]; got != want && name != container {
			return check.Failf("an exec sees %s=%q; the command sees %q", name, got, want)
		}
	}
	return nil
}

func endIsTold(ctx context.Context, e *check.Env) error {
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	for _, tc := range []struct {
		what string
		args []string
		want execapi.Final
	}{
		{"a program that ends with 0", []string{"exit", "0"}, execapi.Final{Reason: execapi.Exited}},
		{"a program that ends with 42", []string{"exit", "42"}, execapi.Final{Reason: execapi.Exited, Code: 42}},
		{"a program that SIGKILL ends", []string{"kill-self", "9"}, execapi.Final{Reason: execapi.Signaled, Code: 137, Signal: 9}},
	} {
		o, err := check.Exec(ctx, c, tc.args...)
		if err != nil {
			return err
		}
		if f := o.Final; f.Reason != tc.want.Reason || f.Code != tc.want.Code || f.Signal != tc.want.Signal {
			return check.Failf("%s has the end %+v", tc.what, f)
		}
	}
	o, err := check.Exec(ctx, c, "say", "the last word")
	if err != nil {
		return err
	}
	if want := "probe-said the last word\n"; o.Output != want || o.Final.Output != int64(len(want)) {
		return check.Failf("of the output %q there are %q before the end, which counts %d bytes", want, o.Output, o.Final.Output)
	}
	_, err = c.Start(ctx, execapi.Spec{Args: []string{"/no/such/command"}})
	return refused(err, execapi.ErrNoCommand, "a program that does not exist")
}

// refused says whether an error is the problem that it should be.
func refused(err error, want *execapi.Problem, what string) error {
	if !errors.Is(err, want) {
		return check.Failf("%s is not refused as %q: %v", what, want.Kind, err)
	}
	return nil
}
