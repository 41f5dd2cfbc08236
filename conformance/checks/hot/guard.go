package hot

// What must not happen to a home and to what others have in S3: HOT-005 to HOT-010.

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

func noHydrateNoStart(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/precious", []byte("x"), nil); err != nil {
		return err
	}
	_, before, err := w.List(ctx, "")
	if err != nil {
		return err
	}
	for name, env := range map[string]map[string]string{
		"a bucket that does not exist": {contract.EnvS3Bucket: "no-such-bucket"},
		"an S3 that is away":           {contract.EnvHydrateTimeout: "3"},
	} {
		if env[contract.EnvHydrateTimeout] != "" {
			w.Link.Cut()
		}
		s, err := e.Start(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "say", "started"}, Env: env})
		if err != nil {
			return err
		}
		if err := s.ExpectExit(ctx, contract.ExitHydrate); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		logs, err := s.Logs(ctx)
		if err != nil {
			return err
		}
		if strings.Contains(logs, "probe-said started") {
			return check.Failf("%s: the command was started", name)
		}
		w.Link.Mend()
	}
	_, after, err := w.List(ctx, "")
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		return check.Failf("starts that failed changed S3: it had %v, and has %v", before, after)
	}
	return nil
}

func unsavedIsSaid(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w, Env: map[string]string{contract.EnvShutdownTimeout: "5"}})
	if err != nil {
		return err
	}
	w.Link.Cut()
	if _, err := s.Run(ctx, "write", check.Home("unsaved-work.txt"), "x"); err != nil {
		return err
	}
	if err := s.Signal(ctx, "SIGTERM"); err != nil {
		return err
	}
	return s.ExpectExit(ctx, contract.ExitUnsaved, "unsaved-work.txt")
}

func secondIsRefused(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	first, err := e.Ready(ctx, check.Start{Workspace: w, SandboxID: "the-holder"})
	if err != nil {
		return err
	}
	second, err := e.Start(ctx, check.Start{Workspace: w, SandboxID: "the-second", Cmd: []string{check.Probe, "say", "started"}})
	if err != nil {
		return err
	}
	if err := second.ExpectExit(ctx, contract.ExitHydrate, "the-holder"); err != nil {
		return err
	}
	logs, err := second.Logs(ctx)
	if err != nil {
		return err
	}
	if strings.Contains(logs, "probe-said started") {
		return check.Failf("the second sandbox's command was started")
	}
	// Released, the workspace is free at once.
	if err := first.Saved(ctx); err != nil {
		return err
	}
	third, err := e.Ready(ctx, check.Start{Workspace: w, SandboxID: "the-third"})
	if err != nil {
		return fmt.Errorf("after a graceful stop the workspace is not free: %w", err)
	}
	return third.Saved(ctx)
}

func othersAreNotOverwritten(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/shared", []byte("first"), nil); err != nil {
		return err
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/shared", []byte("theirs"), nil); err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/added", []byte("theirs"), nil); err != nil {
		return err
	}
	for _, name := range []string{"shared", "added"} {
		if _, err := s.Run(ctx, "write", check.Home(name), "ours"); err != nil {
			return err
		}
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	got, err := objectsOf(ctx, w)
	if err != nil {
		return err
	}
	for _, name := range []string{"shared", "added"} {
		if got[name] != "theirs" {
			return check.Failf("hot/%s was written by another program and is now %q", name, got[name])
		}
		kept := false
		for key, body := range got {
			kept = kept || strings.HasPrefix(key, name+".conflict-") && body == "ours"
		}
		if !kept {
			return check.Failf("the local version of %s is not kept under a conflict name; S3 has %v", name, got)
		}
	}
	return nil
}

func nothingLeavesTheHome(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	link := map[string]string{"file-permissions": "0120777"}
	for key, o := range map[string]struct {
		body string
		meta map[string]string
	}{
		"hot/out":               {"/tmp", link}, // a link out of the home, and below a key that would follow it
		"hot/up":                {"..", link},
		"hot/fine":              {"x", nil},
		"hot/a%2F..%2F..%2Fesc": {"x", nil},
	} {
		if err := w.Put(ctx, key, []byte(o.body), o.meta); err != nil {
			return err
		}
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, "exists", check.Home("fine")); err != nil {
		return check.Failf("one hostile key kept the rest from being hydrated: %v", err)
	}
	// The workload makes a link where an object's directory will be, and restarts.
	if _, err := s.Run(ctx, "mkdir", check.Home("trap")); err != nil {
		return err
	}
	if _, err := s.Run(ctx, "write", check.Home("trap/file"), "inside"); err != nil {
		return err
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/trap/file", []byte("newer"), nil); err != nil {
		return err
	}
	trap, err := e.Hook("10-trap", "swap", check.Home("trap"), "/tmp")
	if err != nil {
		return err
	}
	next, err := e.Ready(ctx, check.Start{Workspace: w, Binds: []string{trap + ":" + contract.PreStartDir + ":ro"}})
	if err != nil {
		return err
	}
	if out, err := next.RunAs(ctx, "0", "newest", "/tmp", "/etc", "/usr/local"); err != nil {
		return err
	} else if strings.Contains(out, "esc") || strings.Contains(out, "/tmp/file") {
		return check.Failf("hydrate wrote outside the home: %s", out)
	}
	return nil
}

func excludedIsLeftAlone(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	for key, body := range map[string]string{"hot/.sandboxignore": "scratch/\n", "hot/scratch/stored": "theirs", "hot/.cache/stored": "theirs"} {
		if err := w.Put(ctx, key, []byte(body), nil); err != nil {
			return err
		}
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	for _, name := range []string{"scratch/stored", ".cache/stored"} {
		if _, err := s.Run(ctx, "exists", check.Home(name)); err == nil {
			return check.Failf("%s is excluded and was hydrated", name)
		}
	}
	for _, dir := range []string{"scratch", ".cache"} {
		if _, err := s.Run(ctx, "mkdir", check.Home(dir)); err != nil {
			return err
		}
		if _, err := s.Run(ctx, "write", check.Home(dir+"/local"), "x"); err != nil {
			return err
		}
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	got, err := objectsOf(ctx, w)
	if err != nil {
		return err
	}
	for _, dir := range []string{"scratch", ".cache"} {
		if got[dir+"/stored"] != "theirs" {
			return check.Failf("hot/%s/stored is excluded and was changed or deleted", dir)
		}
		if _, ok := got[dir+"/local"]; ok {
			return check.Failf("%s/local is excluded and was uploaded", dir)
		}
	}
	return nil
}
