package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

// WaitReady waits for the ready file. A sandbox that ends first is a Fail with its output.
func (s *Sandbox) WaitReady(ctx context.Context) error {
	return s.WaitFile(ctx, contract.DefaultReadyFile)
}

// WaitFile waits until a path exists in the container. The probe waits inside of it, by
// inotify(7), so that nothing is polled.
func (s *Sandbox) WaitFile(ctx context.Context, path string) error {
	code, out, err := s.Exec(ctx, "0", Probe, "wait", path)
	if err == nil && code == 0 {
		return nil
	}
	logs, logErr := s.Logs(context.WithoutCancel(ctx))
	if logErr != nil {
		logs = logErr.Error()
	}
	if ctx.Err() != nil {
		return Failf("%s did not appear in time; the sandbox printed:\n%s", path, logs)
	}
	return Failf("the sandbox ended before %s appeared (%d, %v, %s); it printed:\n%s", path, code, err, out, logs)
}

// Run runs the probe as the agent and fails unless it ends with 0. It returns what it printed.
func (s *Sandbox) Run(ctx context.Context, args ...string) (string, error) {
	return s.RunAs(ctx, strconv.Itoa(contract.AgentUID), args...)
}

// RunAs is Run as another user.
func (s *Sandbox) RunAs(ctx context.Context, user string, args ...string) (string, error) {
	argv := append([]string{Probe}, args...)
	code, out, err := s.Exec(ctx, user, argv...)
	if err != nil {
		return out, err
	}
	if code != 0 {
		return out, fmt.Errorf("the probe %q ended with %d: %s", args, code, out)
	}
	return out, nil
}

// SandboxStatus is what `sandbox-init status --json` prints.
type SandboxStatus struct {
	State   contract.State          `json:"state"`
	Storage *contract.StorageStatus `json:"storage"`
}

// Status asks `sandbox-init status --json`, as the agent.
func (s *Sandbox) Status(ctx context.Context) (SandboxStatus, error) {
	var st SandboxStatus
	code, out, err := s.Exec(ctx, strconv.Itoa(contract.AgentUID), contract.InitBinary, "status", "--json")
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		return st, Failf("`sandbox-init status --json` ended with %d and printed %q, which is not the contract's JSON: %v", code, out, err)
	}
	return st, nil
}

// stopLimit is when a supervisor sends SIGKILL to a sandbox that has the default budget:
// SHUTDOWN_TIMEOUT_SECONDS and 5 s.
const stopLimit = 35 * time.Second

// Stop asks for a graceful stop, as `docker stop` does, and returns the exit code. A
// sandbox that does not end is a Fail.
func (s *Sandbox) Stop(ctx context.Context) (int, error) {
	if err := s.Signal(ctx, "SIGTERM"); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	code, err := s.Wait(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return 0, Fail(fmt.Sprintf("the sandbox has not ended %s after SIGTERM", stopLimit), "let sandbox-init be PID 1, and let no hook or wrapper swallow SIGTERM")
	}
	return code, err
}

// Kill ends the container at once and waits until it has.
func (s *Sandbox) Kill(ctx context.Context) error {
	if err := s.Signal(ctx, "SIGKILL"); err != nil {
		return err
	}
	_, err := s.Wait(ctx)
	return err
}

// ExpectExit waits for the end and fails unless the exit code is want and the output
// contains every one of the words.
func (s *Sandbox) ExpectExit(ctx context.Context, want int, words ...string) error {
	code, err := s.Wait(ctx)
	if err != nil {
		if ctx.Err() != nil {
			logs, _ := s.Logs(context.WithoutCancel(ctx))
			return Failf("the sandbox has not ended in time; it printed:\n%s", logs)
		}
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	if code != want {
		return Failf("the exit code is %d, want %d; the sandbox printed:\n%s", code, want, logs)
	}
	for _, w := range words {
		if !strings.Contains(logs, w) {
			return Failf("the log does not name %q; the sandbox printed:\n%s", w, logs)
		}
	}
	return nil
}

// Eventually asks until ok, and fails with what was missing when ctx ends. It is for what
// only S3 can tell: there is no event to wait for.
func Eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Failf("%s has not happened in time: %v", what, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// Saved stops a sandbox and fails unless everything was saved.
func (s *Sandbox) Saved(ctx context.Context) error {
	code, err := s.Stop(ctx)
	if err != nil {
		return err
	}
	if code != 0 {
		logs, _ := s.Logs(ctx)
		return Failf("a graceful stop ends with %d, not 0; the sandbox printed:\n%s", code, logs)
	}
	return nil
}
