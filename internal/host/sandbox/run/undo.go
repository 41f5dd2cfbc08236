package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// undo takes away what was made before an error. A container that may have run is ended like any other:
// the answer to its start may be all that was lost.
func (x *session) undo(cause error) (int, error) {
	ctx, stop := context.WithTimeout(context.Background(), undoWithin)
	defer stop()
	c, err := x.made(ctx)
	if err != nil {
		return exitCode(cause), errors.Join(cause, fmt.Errorf("what was made of the sandbox %s stays until the engine answers: %w", x.record.SandboxID, err))
	}
	if c.Started {
		x.record.Container = c.ID
		return x.halt(cause)
	}
	if c.ID != "" {
		err = x.engine.Remove(ctx, c.ID, true)
	}
	if !x.record.Fresh {
		// The volumes are those of an earlier run, and kept as before.
		err = errors.Join(err, x.sandboxDir.Disk().Unmount())
		x.record.Ended = &datadir.Ended{At: time.Now().UTC(), ExitCode: exitCode(cause), Outcome: datadir.NotStarted, Reason: cause.Error(), Kept: true}
		err = errors.Join(err, x.sandboxDir.Save(x.record))
		return exitCode(cause), errors.Join(cause, err)
	}
	if x.creating && !errors.Is(cause, engine.ErrNameTaken) {
		for _, v := range x.record.Volumes {
			if err == nil {
				err = x.engine.RemoveVolume(ctx, v)
			}
		}
	}
	if err == nil {
		err = x.sandboxDir.Remove()
	}
	return exitCode(cause), errors.Join(cause, err)
}

// made is the container that was made, the zero one when none was. The engine may have made it, or
// started it, although its answer did not come.
func (x *session) made(ctx context.Context) (engine.Container, error) {
	if !x.creating {
		return engine.Container{}, nil
	}
	id := cmp.Or(x.record.Container, x.sandboxDir.ContainerName())
	c, err := x.engine.Inspect(ctx, id)
	if errors.Is(err, engine.ErrNoContainer) {
		return engine.Container{}, nil
	}
	if err == nil && c.Labels[contract.LabelDataDir] != x.dir.Path() {
		return engine.Container{}, nil // the name's, not ours
	}
	return c, err
}

// halt ends a sandbox whose start has failed for this program, and not for the engine.
func (x *session) halt(cause error) (int, error) {
	ctx := context.Background()
	x.out.say("%v; stopping the sandbox %s and saving what has changed", cause, x.record.SandboxID)
	if err := teardown.Stop(ctx, x.engine, x.sandboxDir, x.record.Container); err != nil {
		return exitCode(cause), errors.Join(cause, err)
	}
	code, err := x.end(ctx, exitCode(cause))
	return code, errors.Join(cause, err)
}

const undoWithin = 30 * time.Second

// exitCode is that of a sandbox that could not be had: as if its container had said it.
func exitCode(err error) int {
	switch {
	case errors.Is(err, errStore):
		return contract.ExitHydrate
	case errors.Is(err, errStopped):
		return contract.ExitSignalBase + int(syscall.SIGTERM)
	}
	return exitFailure
}

// exitFailure is the exit code of a failure of this program, as docker(1) has it.
const exitFailure = 125
