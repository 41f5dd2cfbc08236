package hostd

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// lookAfter waits until no other process looks after the sandbox and then ends it well when its
// container has ended. It returns when the sandbox has ended or the daemon does.
//
// Between attempts it lets go of the sandbox: what makes them fail, a full disk above all, a stop or a
// removal by another process may mend.
func (d *Daemon) lookAfter(s *sandbox) {
	defer d.sweepSoon() // what it has left is in the trash
	defer d.forget(s)
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := d.lookOnce(s)
		if err == nil || d.ctx.Err() != nil {
			return
		}
		d.Log.Warn("a sandbox cannot be looked after; trying again", "event", "follow_failed", "sandbox_id", s.sandboxDir.ID, "error", err.Error())
		// An engine that is restarted sends no event.
		select {
		case <-time.After(pause):
		case <-d.ctx.Done():
			return
		}
	}
}

func (d *Daemon) lookOnce(s *sandbox) error {
	lock, err := s.sandboxDir.Lock(d.ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has been forgotten
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return d.followToEnd(s.sandboxDir)
}

// maxPause is the longest pause between attempts to reach the engine.
const maxPause = 15 * time.Second

func (d *Daemon) followToEnd(sandboxDir datadir.Sandbox) error {
	r, err := sandboxDir.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its program has removed it
	}
	if err != nil {
		return err
	}
	if r.Ended != nil && (r.Ended.Kept || r.Ended.Removed) {
		return nil
	}
	e, err := d.OpenEngine(d.ctx, r.EngineHost)
	if err != nil {
		return err
	}
	defer e.Close()
	if r.Ended == nil {
		if r.Container == "" {
			if r, err = teardown.Adopt(d.ctx, e, sandboxDir, r); errors.Is(err, teardown.ErrNeverBegan) {
				d.neverBegan.add(r)
				d.sweepSoon()
				return nil
			} else if err != nil || r.Ended != nil {
				return err
			}
		}
		if r.Engine != e.ID() {
			return teardown.ErrOtherEngine
		}
		// A program that was killed while it judged may have left it sealed.
		if err := sandboxDir.Unseal(); err != nil {
			return err
		}
		if sandboxDir.Marks().Stop() {
			// The program that was to stop it may have been killed before it did.
			d.work.Go(func() { d.stopMarked(e, sandboxDir, r) })
		}
		counting, onTime := context.WithCancel(d.ctx)
		defer onTime()
		late, id := teardown.Deadline(counting, e, sandboxDir, r), r.SandboxID
		d.work.Go(func() { d.holdToTime(counting, late, id) })
		if exit := <-e.Wait(d.ctx, r.Container, false); exit.Err != nil && !errors.Is(exit.Err, engine.ErrNoContainer) {
			return exit.Err
		}
	}
	r, err = teardown.End(d.ctx, e, sandboxDir, r)
	if err != nil {
		return err
	}
	d.Log.Info("a sandbox has ended", "event", "sandbox_ended", "sandbox_id", r.SandboxID, "outcome", string(r.Ended.Outcome),
		"exit_code", r.Ended.ExitCode, "kept", r.Ended.Kept)
	return nil
}

// stopMarked carries out a stop that was asked for.
func (d *Daemon) stopMarked(e Engine, sandboxDir datadir.Sandbox, r datadir.Record) {
	if err := teardown.Stop(d.ctx, e, sandboxDir, r.Container); err != nil && d.ctx.Err() == nil {
		d.Log.Error("a sandbox cannot be stopped", "event", "stop_failed", "sandbox_id", r.SandboxID, "error", err.Error())
	}
}

// holdToTime tells of a sandbox's time limit.
func (d *Daemon) holdToTime(ctx context.Context, late <-chan error, id string) {
	for {
		select {
		case err := <-late:
			if err != nil {
				d.Log.Error("a sandbox cannot be held to its time limit", "event", "timeout_failed", "sandbox_id", id, "error", err.Error())
				continue
			}
			d.Log.Info("a sandbox's time limit has passed, and it is stopped", "event", "timeout", "sandbox_id", id)
		case <-ctx.Done():
			return
		}
	}
}
