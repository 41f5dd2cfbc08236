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

// Remove removes all that is known of a sandbox that has ended. With force it stops one that
// runs or starts, and throws away what is not saved.
func Remove(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, force bool, out Output) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return err
	}
	defer haveEmptied(ctx, entry.Dir, out)
	return remove(ctx, e, entry, force, out)
}

// haveEmptied has the daemon remove what is in the trash. No command waits for that.
func haveEmptied(ctx context.Context, d datadir.Dir, out Output) {
	if names, err := d.Trash().Entries(); err != nil || len(names) == 0 {
		return // without a data directory there is no trash
	}
	release, err := hostd.Revive(ctx, d, nil, true)
	if err != nil {
		out.say("what was removed takes up space until the next command that needs the daemon: %v", err)
		return
	}
	release()
}

func remove(ctx context.Context, e *engine.Engine, entry inventory.Entry, force bool, out Output) error {
	id := entry.SandboxID
	if entry.Record.SandboxID == "" && entry.Container != "" {
		return removeOrphan(ctx, e, entry, force)
	}
	if err := entry.Dir.CheckOwner(); err != nil {
		return err
	}
	runs := fmt.Errorf("cannot remove the sandbox %s: it runs; `sandbox stop %s` ends it", id, id)
	if force {
		_, err := endNow(ctx, e, entry, out, func(entry inventory.Entry, c engine.Container) error {
			return teardown.Stop(ctx, e, entry.SandboxDir, c.ID)
		})
		if errors.Is(err, teardown.ErrNeverBegan) {
			return nil
		}
		if err != nil && !teardown.IsFull(err) {
			return err
		}
	}
	c, err := entry.Inspect(ctx, e)
	if err != nil {
		return err
	}
	if c.Running {
		return runs
	}
	patience := endedWithin
	if !c.Started && !entry.Over() {
		patience = 0 // another process starts it
	}
	lock, err := lockWithin(ctx, entry.SandboxDir, out, patience)
	if errors.Is(err, datadir.ErrCaredFor) {
		return runs
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, err := entry.SandboxDir.Load()
	if err == nil {
		r, err = teardown.End(ctx, e, entry.SandboxDir, r)
	}
	switch {
	case errors.Is(err, teardown.ErrNeverBegan):
		return nil
	case errors.Is(err, teardown.ErrRunning):
		return runs
	case err != nil && !(teardown.IsFull(err) && r.Ended != nil && (r.Ended.Removed || force)):
		return err // what cannot be written on a full disk alone does not keep it from being emptied
	case r.Ended.Kept && !force:
		return fmt.Errorf("cannot remove the sandbox %s: %w; `sandbox save %s` saves it, --force throws it away", id, ErrUnsaved, id)
	case r.Ended.Kept:
		if _, err := teardown.Remove(ctx, e, entry.SandboxDir, r); err != nil && !teardown.IsFull(err) {
			return err
		}
	}
	return entry.SandboxDir.Remove()
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
	// A user who removed the directory could not remove the disk that is mounted in it; one who removed the
	// record alone left home and state.
	if sandboxDir, perr := datadir.At(entry.DataDir).Sandbox(id); perr == nil {
		err = errors.Join(err, sandboxDir.DiscardHome(), sandboxDir.Disk().Remove())
	}
	return err
}
