package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/contract"
)

var coldChecks = []Check{
	{ID: "COLD-001", Run: coldIsMounted},
	{ID: "COLD-002", Run: coldIsUnavailable},
}

func coldIsMounted(ctx context.Context, e *Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "cold/data/set.txt", []byte("stored"), nil); err != nil {
		return err
	}
	// Where the engine's machine has no FUSE, nothing can be said: an error, not an excuse.
	s, err := e.ready(ctx, Start{Workspace: w, Fuse: true})
	if err != nil {
		return fmt.Errorf("a sandbox with /dev/fuse: %w (the engine's machine must have it: modprobe fuse)", err)
	}
	file := filepath.Join(contract.DefaultColdPath, "data/set.txt")
	if out, err := s.Run(ctx, "read", file); err != nil || out != "stored" {
		return Failf("%s reads %q (%v), want what S3 holds", file, out, err)
	}
	if _, err := s.Run(ctx, "write", filepath.Join(contract.DefaultColdPath, "data/new.txt"), "written"); err != nil {
		return Failf("the agent cannot write to the cold path: %v", err)
	}
	if err := s.saved(ctx); err != nil {
		return err
	}
	o, ok, err := w.Get(ctx, "cold/data/new.txt")
	if err != nil {
		return err
	}
	if !ok || string(o.Body) != "written" {
		return Failf("a file that was written and closed in the cold path is not in S3 after a graceful stop")
	}
	return nil
}

func coldIsUnavailable(ctx context.Context, e *Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "cold/set.txt", []byte("stored"), nil); err != nil {
		return err
	}
	s, err := e.ready(ctx, Start{Workspace: w})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, "write", filepath.Join(contract.DefaultColdPath, "lost"), "x"); err == nil {
		return Failf("a file can be written to %s although nothing is mounted there", contract.DefaultColdPath)
	}
	if out, err := s.Run(ctx, "describe", contract.DefaultColdPath); err != nil || !describes(out, "dir 0 entries") {
		return Failf("%s is not empty although nothing is mounted there: %s (%v)", contract.DefaultColdPath, out, err)
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if st.State.Cold != contract.ColdUnavailable || st.State.ColdReason == "" {
		return Failf("status says cold %q with reason %q, want %q and a reason", st.State.Cold, st.State.ColdReason, contract.ColdUnavailable)
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
			return Failf("`sandbox-init %s` ends with %d and prints %q", strings.Join(step.argv, " "), code, out)
		}
	}
	return Eventually(ctx, "the arrival of what `sandbox-init cold put` stored", func() (bool, error) {
		o, ok, err := w.Get(ctx, "cold/copy.txt")
		return ok && string(o.Body) == "stored", err
	})
}
