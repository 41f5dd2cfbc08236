package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/process"
)

// preStartLimit bounds each pre-start hook.
const preStartLimit = 60 * time.Second

var errStopped = errors.New("the sandbox is to stop")

// preStart runs the pre-start hooks; the first that fails ends it.
func (s *sandbox) preStart() (stopped bool, err error) {
	hooks, err := hooksIn(filepath.Join(s.HooksDir, filepath.Base(contract.PreStartDir)))
	if err != nil {
		return false, err
	}
	for _, path := range hooks {
		switch err := s.runHook(path, now()+int64(preStartLimit), 0); {
		case errors.Is(err, errStopped):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// preStop runs the pre-stop hooks in what the budget has for them. Their failures are
// logged: nothing may keep the sandbox from stopping.
func (s *sandbox) preStop() {
	hooks, err := hooksIn(filepath.Join(s.HooksDir, filepath.Base(contract.PreStopDir)))
	if err != nil {
		s.log.Error("pre-stop hooks are left out", "event", "hook_failed", "error", err.Error())
	}
	for i, path := range hooks {
		if now() >= s.budget.hooks {
			s.log.Error("pre-stop hooks are left out: the time for them is used up", "event", "hook_failed", "hooks", hooks[i:])
			return
		}
		err := s.runHook(path, s.budget.hooks, 1)
		if errors.Is(err, errStopped) {
			return
		}
		if err != nil {
			s.log.Error("a pre-stop hook has failed", "event", "hook_failed", "error", err.Error())
		}
	}
}

// hooksIn lists the executables of a directory in name order.
func hooksIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the hooks in %s: %w", dir, err)
	}
	var hooks []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // follows: a variant may link its hooks
		if err != nil {
			return nil, fmt.Errorf("cannot look at the hook %s: %w", path, err)
		}
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			hooks = append(hooks, path)
		}
	}
	return hooks, nil
}

// runHook runs one hook as the agent, in a process group of its own, which is killed at
// the deadline and when the sandbox is asked to stop more often than patience allows.
// What a hook that has ended leaves running stays.
func (s *sandbox) runHook(path string, deadline int64, patience int) error {
	hook, err := s.startOurs(s.agents, process.Spec{
		Argv:       []string{path},
		Env:        s.env,
		Dir:        s.Config.HotPath,
		Files:      [3]uintptr{s.null.Fd(), 1, 2},
		Credential: s.Mode.AgentCredential(),
		Terminal:   -1,
		Expendable: true,
	})
	if err != nil {
		return fmt.Errorf("cannot run the hook %s: %w", path, err)
	}
	s.log.Debug("a hook runs", "event", "hook_started", "hook", path)
	s.hook = hook
	for {
		switch s.next(deadline) {
		case evHook:
			if code := s.hookDone.Code(); code != 0 {
				return fmt.Errorf("the hook %s has ended with code %d", path, code)
			}
			return nil
		case evDeadline:
			s.killHook()
			return fmt.Errorf("the hook %s has not ended in time and was killed", path)
		case evStop:
			if s.stops > patience {
				s.killHook()
				return errStopped
			}
		}
	}
}

// killHook waits for the end of what SIGKILL ends at once, unless it sleeps where not
// even that reaches it; the drain then reports it.
func (s *sandbox) killHook() {
	_ = s.hook.SignalGroup(unix.SIGKILL)
	for giveUp := now() + int64(time.Second); s.hook != nil; {
		switch s.next(giveUp) {
		case evHook:
		case evDeadline:
			s.hook = nil
		}
	}
}
