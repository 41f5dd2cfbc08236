package teardown

import (
	"context"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Deadline holds a sandbox to its time limit for as long as ctx is: when it has passed,
// the sandbox is stopped as its operator would, flush included, and then killed when it
// takes longer than it may. On the channel comes nil when that begins, or why it could not.
//
// The limit counts from the container's start, as the engine knows it, so that every process that looks
// after the sandbox next, the daemon after the program that began, holds the same.
func Deadline(ctx context.Context, e Stopper, sandboxDir datadir.Sandbox, r datadir.Record) <-chan error {
	if r.Limits.Timeout == 0 {
		return nil
	}
	late := make(chan error, 2)
	go func() {
		c, err := e.Inspect(ctx, r.Container)
		if err != nil {
			late <- err
			return
		}
		select {
		case <-time.After(time.Until(c.Began.Add(r.Limits.Timeout))):
		case <-ctx.Done():
			return
		}
		// One that is being stopped already stays that.
		if !sandboxDir.Marks().Stop() {
			late <- sandboxDir.Marks().SetTimeout() // and it is stopped, marked or not
		}
		if err := Stop(ctx, e, sandboxDir, r.Container); err != nil && ctx.Err() == nil {
			late <- err
		}
	}()
	return late
}
