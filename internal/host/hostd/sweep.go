package hostd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A program may be killed at any instant, so what it makes is found again by looking. A sweep
//
//   - takes care of sandboxes that have a record and that no program looks after, those that had ended and
//     were started again included;
//   - forgets those that ended long ago, or more than can be kept in mind;
//   - empties the trash, which goes on in the background;
//   - removes directories that never became a sandbox's or are no longer one;
//   - removes containers that were made for a sandbox without a directory and never started,
//     with their volumes, and helpers of programs that have ended;
//   - removes volumes that the engine made for a sandbox which never began.
//
// A container that has run is never removed by a sweep, nor are its volumes.

// sweepEvery is how often a sweep is made without an event that asks for one.
const sweepEvery = time.Minute

// engineWithin bounds a sweep's questions to the engine: the daemon does not end before they are answered.
const engineWithin = time.Minute

// remembered is how long a sandbox that has left nothing is remembered, with its output; mostRemembered
// is how many of them are.
const (
	remembered     = 7 * 24 * time.Hour
	mostRemembered = 500
)

// past is a sandbox that has ended and left nothing: when, and when that was written.
type past struct{ at, written time.Time }

// sweepOn sweeps until the daemon ends.
func (d *Daemon) sweepOn() {
	d.sweep()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.swept:
		case <-d.ctx.Done():
			return
		}
		d.sweep()
	}
}

// sweepSoon asks for a sweep and does not wait for it.
func (d *Daemon) sweepSoon() {
	select {
	case d.swept <- struct{}{}:
	default:
	}
}

func (d *Daemon) sweep() {
	d.sweeping.Lock()
	defer d.sweeping.Unlock()
	d.sweepRecords()
	d.forgetOld()
	if err := d.Dir.Sweep(d.scrub); err != nil {
		d.Log.Warn("what killed programs have left cannot be removed", "event", "sweep_failed", "error", err.Error())
	}
	d.emptier.look(d.ctx)
	ctx, stop := context.WithTimeout(d.ctx, engineWithin)
	defer stop()
	if err := d.sweepEngine(ctx); err != nil && d.ctx.Err() == nil {
		d.Log.Warn("what killed programs have left in the engine cannot be removed", "event", "sweep_failed", "error", err.Error())
	}
}

// sweepRecords serves the sandboxes that have not ended, and so takes care of those that no program looks
// after. When the daemon has just started, those of living programs have their storage back by it.
func (d *Daemon) sweepRecords() {
	dirs, err := d.Dir.List()
	if err != nil {
		d.Log.Error("the sandboxes cannot be listed", "event", "sweep_failed", "error", err.Error())
		return
	}
	for _, s := range dirs {
		if past, ok := d.ended[s.ID]; ok && past.written.Equal(s.Written()) {
			continue
		}
		if known, err := d.known(s.ID); known || err != nil {
			continue
		}
		written := s.Written()
		r, err := s.Load()
		if err != nil {
			// One that cannot be read must not keep the others from their storage.
			d.Log.Error("a record cannot be read", "event", "record_unreadable", "sandbox_id", s.ID, "error", err.Error())
			continue
		}
		if r.Ended != nil && r.Ended.Removed {
			d.ended[s.ID] = past{r.Ended.At, written}
			continue
		}
		if r.Ended != nil && r.Ended.Kept || isMaking(s, r) {
			continue
		}
		if err := d.serve(r.SandboxID); err != nil {
			d.Log.Error("a sandbox is without its storage", "event", "gateway_failed", "sandbox_id", r.SandboxID, "error", err.Error())
		}
	}
}

// isMaking says that a program still decides what a sandbox is: it asks for the storage to be served when
// the record says it all.
func isMaking(s datadir.Sandbox, r datadir.Record) bool {
	if r.Container != "" || r.Access.Mode != "" {
		return false
	}
	lock, err := s.TryLock()
	if err == nil {
		lock.Unlock()
	}
	return errors.Is(err, datadir.ErrCaredFor)
}

// forgetOld forgets sandboxes that have left nothing, the oldest first.
func (d *Daemon) forgetOld() {
	ids := make([]string, 0, len(d.ended))
	for id := range d.ended {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return d.ended[a].at.Compare(d.ended[b].at) })
	for n, id := range ids {
		if time.Since(d.ended[id].at) < remembered && len(ids)-n <= mostRemembered {
			return
		}
		if err := d.forgetOne(id); err != nil {
			d.Log.Warn("an old sandbox cannot be forgotten", "event", "forget_failed", "sandbox_id", id, "error", err.Error())
			continue
		}
		delete(d.ended, id)
	}
}

func (d *Daemon) forgetOne(id string) error {
	s, err := d.Dir.Sandbox(id)
	if err != nil {
		return err
	}
	lock, err := s.TryLock()
	if errors.Is(err, datadir.ErrCaredFor) {
		return nil // it is in use, perhaps by a new one of its ID: the next sweep reads it anew
	}
	if err != nil {
		return nil // it has gone
	}
	defer lock.Unlock()
	if r, err := s.Load(); err != nil || r.Ended == nil || !r.Ended.Removed {
		return nil
	}
	return s.Remove()
}

// engines are the hosts of the engines that this data directory's sandboxes are on.
func (d *Daemon) engines() []string {
	hosts := []string{""}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.served {
		if !slices.Contains(hosts, s.engineHost) {
			hosts = append(hosts, s.engineHost)
		}
	}
	return hosts
}

func (d *Daemon) sweepEngine(ctx context.Context) error {
	var errs []error
	for _, host := range d.engines() {
		e, err := d.OpenEngine(ctx, host)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, d.sweepContainers(ctx, e), d.neverBegan.sweep(ctx, e, d.Dir), e.Close())
	}
	return errors.Join(errs...)
}

func (d *Daemon) sweepContainers(ctx context.Context, e Engine) error {
	made, err := e.List(ctx, contract.LabelDataDir+"="+d.Dir.Path())
	helpers, herr := e.List(ctx, engine.HelperLabel)
	err = errors.Join(err, herr)
	for _, c := range helpers {
		if c.Abandoned() {
			err = errors.Join(err, e.Remove(ctx, c.ID, true))
		}
	}
	for _, c := range made {
		s, serr := d.Dir.Sandbox(c.Labels[contract.LabelSandboxID])
		if serr == nil && c.Running {
			err = errors.Join(err, d.takeUp(c, s))
			continue
		}
		if serr != nil || c.Started || c.Name != s.ContainerName() || s.Exists() {
			continue
		}
		// A program makes the directory before the container and removes it after, so this one is
		// no sandbox's. That it has not been started meanwhile the engine sees to.
		err = errors.Join(err, d.removeUnstarted(ctx, e, c, s))
	}
	return err
}

// takeUp takes care of a sandbox that has ended and kept what was not saved, and that another client of
// the engine has started again: a start of the same container saves the rest, for which it needs its storage.
func (d *Daemon) takeUp(c engine.Container, s datadir.Sandbox) error {
	r, err := s.Load()
	if err != nil || r.Container != c.ID || r.Ended == nil || !r.Ended.Kept {
		return nil // not one of those; what cannot be read is told of elsewhere
	}
	lock, err := s.TryLock()
	if err != nil {
		return nil // a program does something with it
	}
	defer lock.Unlock()
	r.Ended, r.Fresh = nil, false
	if err := errors.Join(s.Marks().Clear(), s.Save(r)); err != nil {
		return err
	}
	d.Log.Info("a sandbox was started again", "event", "taken_up", "sandbox_id", s.ID)
	return d.serve(s.ID)
}

func (d *Daemon) removeUnstarted(ctx context.Context, e Engine, c engine.Container, s datadir.Sandbox) error {
	if err := e.Remove(ctx, c.ID, false); err != nil {
		return err
	}
	names, err := e.Volumes(ctx, contract.LabelSandboxID+"="+s.ID, contract.LabelDataDir+"="+d.Dir.Path())
	for _, v := range names {
		err = errors.Join(err, e.RemoveVolume(ctx, v))
	}
	d.Log.Info("a container that no sandbox has was removed", "event", "swept", "sandbox_id", s.ID, "container", c.ID)
	return err
}

// scrub empties a directory that a container's root has written in.
func (d *Daemon) scrub(dir string, r datadir.Record) error {
	if r.Image == "" {
		return fmt.Errorf("cannot remove %s, in which another user's files are; remove it as root", dir)
	}
	e, err := d.OpenEngine(d.ctx, r.EngineHost)
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Scrub(d.ctx, r.Image, dir)
}
