package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// ErrUnsaved says that a sandbox has ended without everything being saved.
var ErrUnsaved = errors.New("not everything is saved")

// Stop stops a sandbox gracefully, waits until whoever looks after it has ended it, and
// tells how. ErrUnsaved when it has kept something.
func Stop(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, out Output) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return err
	}
	if entry.Running {
		defer revive(ctx, entry, out.say)()
		if err := entry.Place.MarkStop(); err != nil {
			return err
		}
		p := watch(entry.Place, out)
		err := e.Stop(ctx, entry.Container)
		p.close()
		if err != nil {
			return err
		}
	}
	r, err := ended(ctx, e, entry)
	if err != nil {
		return err
	}
	out.ended(r)
	if r.Ended.Kept {
		return fmt.Errorf("the sandbox %s has ended: %w", id, ErrUnsaved)
	}
	return nil
}

// removeOrphan removes a container and volumes that no data directory knows any more.
func removeOrphan(ctx context.Context, e *engine.Engine, entry inventory.Entry, force bool) error {
	id := entry.SandboxID
	if !force {
		return fmt.Errorf("cannot remove the sandbox %s: its data directory %s does not know it any more; --force removes its container and volumes, saved or not", id, entry.DataDir)
	}
	if err := e.Remove(ctx, entry.Container, true); err != nil {
		return err
	}
	names, err := e.Volumes(ctx, contract.LabelSandboxID+"="+id, contract.LabelDataDir+"="+entry.DataDir)
	for _, v := range names {
		err = errors.Join(err, e.RemoveVolume(ctx, v))
	}
	// Whoever removed the directory could not remove what is mounted in it.
	if place, perr := datadir.At(entry.DataDir).Sandbox(id); perr == nil {
		err = errors.Join(err, place.Disk().Remove())
	}
	return err
}

// revive sees to it that a sandbox which is about to need its storage has it. One that cannot
// be had is said, and stops nobody: what cannot be saved then is kept.
func revive(ctx context.Context, entry inventory.Entry, say func(string, ...any)) (release func()) {
	release, err := hostd.Revive(ctx, entry.Dir, nil)
	if err != nil {
		say("the sandbox %s is without its storage: %v", entry.SandboxID, err)
		return func() {}
	}
	return release
}

// ended waits until a sandbox has been ended, by its program, by the keeper, or by this one
// when neither is there.
func ended(ctx context.Context, e *engine.Engine, entry inventory.Entry) (datadir.Record, error) {
	lock, err := entry.Place.Lock(ctx)
	if err != nil {
		return datadir.Record{}, err
	}
	defer lock.Unlock()
	r, err := entry.Place.Load()
	if err != nil {
		return r, err
	}
	return teardown.End(ctx, e, entry.Place, r)
}

// Remove removes all that is known of a sandbox that has ended. With force it stops one that
// runs, and throws away what is not saved.
func Remove(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, force bool) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return err
	}
	if entry.Record.SandboxID == "" {
		return removeOrphan(ctx, e, entry, force)
	}
	if entry.Running {
		if !force {
			return fmt.Errorf("cannot remove the sandbox %s: it runs; `sandbox stop %s` ends it", id, id)
		}
		defer revive(ctx, entry, func(string, ...any) {})()
		if err := entry.Place.MarkStop(); err != nil {
			return err
		}
		if err := e.Stop(ctx, entry.Container); err != nil {
			return err
		}
	}
	lock, err := entry.Place.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, err := entry.Place.Load()
	if err != nil {
		return err
	}
	if r, err = teardown.End(ctx, e, entry.Place, r); err != nil {
		return err
	}
	if r.Ended.Kept {
		if !force {
			return fmt.Errorf("cannot remove the sandbox %s: %w; `sandbox save %s` saves it, --force throws it away", id, ErrUnsaved, id)
		}
		if _, err := teardown.Remove(ctx, e, entry.Place, r); err != nil {
			return err
		}
	}
	return entry.Place.Remove()
}
