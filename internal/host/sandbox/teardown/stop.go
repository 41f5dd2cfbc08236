package teardown

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Stopper is what a stop asks of the engine.
type Stopper interface {
	Inspect(ctx context.Context, id string) (engine.Container, error)
	Stop(ctx context.Context, id string) error
}

// Stop stops a sandbox's container gracefully and returns when it has ended. All that stop
// one go this way: its program, `sandbox stop`, the time limit, the daemon. A stop that
// finds another under way waits for it, since the second SIGTERM would end the drain, and the end
// of the second one's patience would be a SIGKILL in the first one's flush. When the other
// was killed before it was done, this one does it.
func Stop(ctx context.Context, e Stopper, sandboxDir datadir.Sandbox, container string) error {
	lock, err := sandboxDir.LockStop(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	c, err := e.Inspect(ctx, container)
	if errors.Is(err, engine.ErrNoContainer) || err == nil && !c.Running {
		return nil
	}
	if err != nil {
		return err
	}
	return e.Stop(ctx, container)
}
