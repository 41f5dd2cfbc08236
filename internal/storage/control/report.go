package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// Report is what `sandbox-init status --json` prints.
type Report struct {
	State contract.State `json:"state"`
	// Storage is null when nothing is kept, or when the storage process could not be asked;
	// StorageError then says why.
	Storage      *contract.StorageStatus `json:"storage"`
	StorageError string                  `json:"storage_error,omitempty"`
}

// errNoSandbox is wrapped when no sandbox runs with this run directory.
var errNoSandbox = errors.New("no sandbox is running here")

// readState reads PID 1's state.json.
func readState(runDir string) (contract.State, error) {
	path := filepath.Join(runDir, contract.StateFileName)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return contract.State{}, fmt.Errorf("%w: %s does not exist; is sandbox-init PID 1 of this container, and SANDBOX_RUN_DIR its own?", errNoSandbox, path)
	}
	if err != nil {
		return contract.State{}, fmt.Errorf("cannot read the state of the sandbox: %w", err)
	}
	var s contract.State
	if err := json.Unmarshal(content, &s); err != nil {
		return contract.State{}, fmt.Errorf("cannot decode %s: %w", path, err)
	}
	return s, nil
}

// report asks both PID 1's file and the storage process.
func report(ctx context.Context, runDir string) (Report, error) {
	state, err := readState(runDir)
	if err != nil {
		return Report{}, err
	}
	r := Report{State: state}
	if state.Storage == contract.StorageNone || state.ExitCode != nil {
		return r, nil
	}
	status, err := NewClient(runDir).Status(ctx)
	if err != nil {
		r.StorageError = err.Error()
		return r, nil //nolint:nilerr // the report says it
	}
	r.Storage = &status
	return r, nil
}

// alive says whether the sandbox-init that wrote the state still runs: a state.json outlives
// one that was killed. Nothing is sent; EPERM says that it is there and root's.
func alive(s contract.State) bool {
	err := unix.Kill(s.PID, 0)
	return s.PID > 0 && (err == nil || errors.Is(err, unix.EPERM))
}

// ended says that a sandbox has ended; nil while it has not.
func ended(s contract.State) error {
	switch {
	case s.ExitCode != nil:
		return fmt.Errorf("%w: it has ended with code %d", errNoSandbox, *s.ExitCode)
	case !alive(s):
		return fmt.Errorf("%w: process %d, which wrote the state, has ended", errNoSandbox, s.PID)
	}
	return nil
}

// unhealthy says why a sandbox is not healthy; nil when it is.
func unhealthy(r Report) error {
	switch s := r.State; {
	case ended(s) != nil:
		return ended(s)
	case !s.Ready:
		return fmt.Errorf("the sandbox is not ready: it is in %q%s", s.Phase, because(s.Problem))
	case s.Storage == contract.StorageNone:
		return nil
	case r.Storage == nil:
		return errors.New(r.StorageError)
	case r.Storage.Lease.State == "lost":
		return fmt.Errorf("nothing is saved any more: %s", r.Storage.Lease.Warning)
	case r.Storage.Hot.State == "failed":
		return fmt.Errorf("changes cannot be saved: %s", failure(r.Storage.Hot))
	}
	return nil
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return ": " + problem
}

func failure(h contract.HotStatus) string {
	switch {
	case h.Problem != "":
		return h.Problem
	case len(h.Failed) == 0:
		return "see the log"
	}
	more := ""
	if h.FailedCount > 1 {
		more = fmt.Sprintf(" (and %d more)", h.FailedCount-1)
	}
	return printable(h.Failed[0].Path) + ": " + h.Failed[0].Reason + more
}
