// Package cold has the checks of the cold path, mounted and not.
package cold

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/probe"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "COLD-001", Run: coldIsMounted},
	{ID: "COLD-002", Run: coldIsUnavailable},
}

func coldIsMounted(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "cold/data/set.txt", []byte("stored"), nil); err != nil {
		return err
	}
	// Where the engine's machine has no FUSE, nothing can be said: an error, not an excuse.
	s, err := e.Ready(ctx, check.Start{Workspace: w, Fuse: true})
	if err != nil {
		return fmt.Errorf("a sandbox with /dev/fuse: %w (the engine's machine must have it: modprobe fuse)", err)
	}
	file := filepath.Join(contract.DefaultColdPath, "data/set.txt")
	if out, err := s.Run(ctx, "read", file); err != nil || out != "stored" {
		return check.Failf("%s reads %q (%v), want what S3 holds", file, out, err)
	}
	if _, err := s.Run(ctx, "write", filepath.Join(contract.DefaultColdPath, "data/new.txt"), "written"); err != nil {
		return check.Failf("the agent cannot write to the cold path: %v", err)
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	o, ok, err := w.Get(ctx, "cold/data/new.txt")
	if err != nil {
		return err
	}
	if !ok || string(o.Body) != "written" {
		return check.Failf("a file that was written and closed in the cold path is not in S3 after a graceful stop")
	}
	return nil
}

func coldIsUnavailable(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "cold/set.txt", []byte("stored"), nil); err != nil {
		return err
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, "write", filepath.Join(contract.DefaultColdPath, "lost"), "x"); err == nil {
		return check.Failf("a file can be written to %s although nothing is mounted there", contract.DefaultColdPath)
	}
	if out, err := s.Run(ctx, "describe", contract.DefaultColdPath); err != nil || !probe.Describes(out, "dir 0 entries") {
		return check.Failf("%s is not empty although nothing is mounted there: %s (%v)", contract.DefaultColdPath, out, err)
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if st.State.Cold != contract.ColdUnavailable || st.State.ColdReason == "" {
		return check.Failf("status says cold %q with reason %q, want %q and a reason", st.State.Cold, st.State.ColdReason, contract.ColdUnavailable)
	}
	e.Saw("cold is unavailable: %s", st.State.ColdReason)
	for _, step := range []struct {
		argv []string
		want string
	}{
		{[]string{"cold", "ls"}, "set.txt"},
		{[]string{"cold", "get", "set.txt", "/tmp/got"}, ""},
		{[]string{"cold", "put", "/tmp/got", "copy.txt"}, ""},
	} {
		code, out, err := s.Exec(ctx, "1000", append([]string{contract.InitBinary}, step.argv...)...)
		if err != nil {
			return err
		}
		if code != 0 || !strings.Contains(out, step.want) {
			return check.Failf("`sandbox-init %s` ends with %d and prints %q", strings.Join(step.argv, " "), code, out)
		}
	}
	return check.Eventually(ctx, "the arrival of what `sandbox-init cold put` stored", func() (bool, error) {
		o, ok, err := w.Get(ctx, "cold/copy.txt")
		return ok && string(o.Body) == "stored", err
	})
}
