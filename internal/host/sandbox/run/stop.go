package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// ErrUnsaved says that a sandbox has ended without everything being saved.
var ErrUnsaved = errors.New("not everything is saved")

// Stop stops a sandbox gracefully, waits until the process that looks after it has ended it, and
// tells how. ErrUnsaved when it has kept something. One that is starting is stopped before it has
// started, or as soon as it has.
func Stop(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, out Output) error {
	return bring(ctx, e, d, id, out, func(entry inventory.Entry, c engine.Container) error {
		p := watch(entry.SandboxDir, out)
		defer p.close()
		return teardown.Stop(ctx, e, entry.SandboxDir, c.ID)
	})
}

// Kill ends a sandbox at once, without a flush. What is not saved is kept.
func Kill(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, out Output) error {
	return bring(ctx, e, d, id, out, func(_ inventory.Entry, c engine.Container) error {
		return e.Signal(ctx, c.ID, "SIGKILL")
	})
}

// bring brings one sandbox to its end and tells of it.
func bring(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, out Output, halt func(inventory.Entry, engine.Container) error) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return err
	}
	r := entry.Record
	if !entry.Over() {
		r, err = endNow(ctx, e, entry, out, halt)
	}
	if errors.Is(err, teardown.ErrNeverBegan) {
		out.say("the sandbox %s was stopped before it had started; nothing of it is left", id)
		return nil
	}
	if err != nil {
		return err
	}
	out.ended(r)
	if r.Ended.Kept {
		return fmt.Errorf("the sandbox %s has ended: %w", id, ErrUnsaved)
	}
	return nil
}

// endNow halts a sandbox in any state and waits until it has been ended: by its program,
// by the daemon, or by this process when neither is there. ErrNeverBegan when it had not started.
//
// A program that starts one looks for the mark after the start; this process looks for the start after
// the mark. So at least one of the two sees the other, and the sandbox does not start unnoticed.
func endNow(ctx context.Context, e *engine.Engine, entry inventory.Entry, out Output, halt func(inventory.Entry, engine.Container) error) (datadir.Record, error) {
	if err := entry.Dir.CheckOwner(); err != nil {
		return entry.Record, err
	}
	release := revive(ctx, entry, out.say)
	defer release()
	for {
		if err := entry.SandboxDir.Marks().SetStop(); errors.Is(err, fs.ErrNotExist) {
			return entry.Record, teardown.ErrNeverBegan
		} else if err != nil && !teardown.IsFull(err) { // one that runs is stopped without it
			return entry.Record, err
		}
		c, err := entry.Inspect(ctx, e)
		if err != nil {
			return entry.Record, err
		}
		if c.Running {
			if err := halt(entry, c); err != nil {
				return entry.Record, err
			}
		}
		r, err := ended(ctx, e, entry, out)
		if !errors.Is(err, teardown.ErrRunning) {
			return r, err
		}
		// It began after the look, and the program that started it was killed; or another client
		// of the engine has started it again.
	}
}

// endedWithin bounds how long the process that looks after a sandbox may take to end it once its
// container has ended: the removal of a large home takes its time.
const endedWithin = 10 * time.Minute

// ended waits until a sandbox has been ended, and ends it when no other process looks after it.
func ended(ctx context.Context, e *engine.Engine, entry inventory.Entry, out Output) (datadir.Record, error) {
	lock, err := lockWithin(ctx, entry.SandboxDir, out, endedWithin)
	if errors.Is(err, fs.ErrNotExist) {
		return entry.Record, teardown.ErrNeverBegan
	}
	if err != nil {
		return entry.Record, err
	}
	defer lock.Unlock()
	r, err := entry.SandboxDir.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return r, teardown.ErrNeverBegan
	}
	if err != nil {
		return r, err
	}
	return teardown.End(ctx, e, entry.SandboxDir, r)
}

// lockWithin takes a sandbox's lock, and says which process it waits for when that takes long. Within
// no time it is datadir.ErrCaredFor when another process has it.
func lockWithin(ctx context.Context, sandboxDir datadir.Sandbox, out Output, within time.Duration) (*datadir.Lock, error) {
	if lock, err := sandboxDir.TryLock(); within == 0 || !errors.Is(err, datadir.ErrCaredFor) {
		return lock, err
	}
	over := fmt.Errorf("the process %d, which looks after the sandbox %s, has not let go of it for %s; see what holds it up, or end it: the daemon takes over", sandboxDir.Holder(), sandboxDir.ID, within)
	ctx, stop := context.WithTimeoutCause(ctx, within, over)
	defer stop()
	defer out.waiting("the process %d to end the sandbox %s", sandboxDir.Holder(), sandboxDir.ID)()
	return sandboxDir.Lock(ctx)
}

// revive sees to it that a sandbox which is about to need its storage has it. One that cannot
// be had is said, and stops no command: what cannot be saved then is kept.
func revive(ctx context.Context, entry inventory.Entry, say func(string, ...any)) (release func()) {
	release, err := hostd.Revive(ctx, entry.Dir, nil, entry.Running)
	if err != nil {
		say("the sandbox %s is without its storage: %v", entry.SandboxID, err)
		return func() {}
	}
	return release
}
