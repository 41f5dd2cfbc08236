package hostd

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// lookAfter waits until nobody else looks after the sandbox and then ends it well when its
// container has ended. It returns when the sandbox has ended or the keeper does.
func (k *Keeper) lookAfter(s *sandbox) {
	defer k.forget(s)
	lock, err := s.place.Lock(k.ctx)
	if err != nil {
		if k.ctx.Err() == nil {
			k.Log.Error("nobody looks after a sandbox", "event", "lock_failed", "sandbox_id", s.place.ID, "error", err.Error())
		}
		return
	}
	defer lock.Unlock()
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := k.followToEnd(s.place)
		if err == nil || k.ctx.Err() != nil {
			return
		}
		k.Log.Warn("a sandbox cannot be looked after; trying again", "event", "follow_failed", "sandbox_id", s.place.ID, "error", err.Error())
		// An engine that is restarted announces itself to nobody.
		select {
		case <-time.After(pause):
		case <-k.ctx.Done():
			return
		}
	}
}

// notStarted is the exit code of a container that there never was, as docker(1) has it.
const notStarted = 125

// maxPause is the longest pause between attempts to reach the engine.
const maxPause = 15 * time.Second

func (k *Keeper) followToEnd(place datadir.Sandbox) error {
	r, err := place.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its program has removed it
	}
	if err != nil {
		return err
	}
	if r.Ended != nil && (r.Ended.Kept || r.Ended.Removed) {
		return nil
	}
	e, err := k.OpenEngine(k.ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if r.Ended == nil {
		if r.Container == "" {
			if done, err := k.adopt(e, place, &r); done || err != nil {
				return err
			}
		}
		if r.Engine != e.ID() {
			return teardown.ErrOtherEngine
		}
		// A program that was killed while it judged may have left it sealed.
		if err := place.Unseal(); err != nil {
			return err
		}
		counting, onTime := context.WithCancel(k.ctx)
		defer onTime()
		late, id := teardown.Deadline(counting, e, place, r), r.SandboxID
		k.work.Go(func() { k.holdToTime(counting, late, id) })
		if exit := <-e.Wait(k.ctx, r.Container, false); exit.Err != nil && !errors.Is(exit.Err, engine.ErrNoContainer) {
			return exit.Err
		}
	}
	r, err = teardown.End(k.ctx, e, place, r)
	if err != nil {
		return err
	}
	k.Log.Info("a sandbox has ended", "event", "sandbox_ended", "sandbox_id", r.SandboxID, "outcome", string(r.Ended.Outcome),
		"exit_code", r.Ended.ExitCode, "kept", r.Ended.Kept)
	return nil
}

// holdToTime tells of a sandbox's time limit.
func (k *Keeper) holdToTime(ctx context.Context, late <-chan error, id string) {
	for {
		select {
		case err := <-late:
			if err != nil {
				k.Log.Error("a sandbox cannot be held to its time limit", "event", "timeout_failed", "sandbox_id", id, "error", err.Error())
				continue
			}
			k.Log.Info("a sandbox's time limit has passed, and it is stopped", "event", "timeout", "sandbox_id", id)
		case <-ctx.Done():
			return
		}
	}
}

// adopt finds the container of a sandbox whose program was killed before it could
// record it. One that has no container never began, and is forgotten, but for what it was
// to save.
func (k *Keeper) adopt(e Engine, place datadir.Sandbox, r *datadir.Record) (done bool, err error) {
	found, err := e.List(k.ctx, contract.LabelSandboxID+"="+r.SandboxID, contract.LabelDataDir+"="+k.Dir.Path())
	if err != nil {
		return false, err
	}
	if len(found) == 0 && !r.Fresh {
		// It was to save what an earlier run has kept, which is all that there is of it.
		r.Ended = &datadir.Ended{At: time.Now().UTC(), ExitCode: notStarted, Outcome: datadir.NotStarted, Reason: "the program that was to save it was killed", Kept: true}
		return true, errors.Join(place.Save(*r), place.Disk().Unmount())
	}
	if len(found) == 0 {
		for _, v := range r.Volumes {
			err = errors.Join(err, e.RemoveVolume(k.ctx, v))
		}
		if err != nil {
			return false, err
		}
		return true, place.Remove()
	}
	r.Container, r.Engine = found[0].ID, e.ID()
	return false, place.Save(*r)
}
