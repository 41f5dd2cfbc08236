package lifecycle

import (
	"context"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

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
