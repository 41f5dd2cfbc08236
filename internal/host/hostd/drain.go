package hostd

import (
	"maps"
	"slices"

	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// A daemon that is told to end stops its sandboxes first: without it they have neither storage nor limits,
// and what they could not save when the machine goes down would be lost to the next one. It serves
// them until the last has ended. A second signal ends it at once, as does a kill: the sandboxes
// run on, and the next daemon takes them up.

// drainOn waits for the word to end.
func (d *Daemon) drainOn() {
	select {
	case <-d.Drain:
	case <-d.ctx.Done():
		return
	}
	d.mu.Lock()
	d.drains = true
	all := slices.Collect(maps.Values(d.served))
	d.settle()
	d.mu.Unlock()
	d.Log.Info("the daemon stops its sandboxes and ends", "event", "daemon_drains", "sandboxes", len(all))
	for _, s := range all {
		d.work.Go(func() { d.stop(s) })
	}
}

// stop stops one sandbox, whichever process looks after it.
func (d *Daemon) stop(s *sandbox) {
	if err := d.stopNow(s); err != nil && d.ctx.Err() == nil {
		d.Log.Error("a sandbox cannot be stopped", "event", "stop_failed", "sandbox_id", s.sandboxDir.ID, "error", err.Error())
	}
}

func (d *Daemon) stopNow(s *sandbox) error {
	if err := s.sandboxDir.Marks().SetStop(); err != nil {
		return err
	}
	r, err := s.sandboxDir.Load()
	if err != nil || r.Container == "" {
		return err // the program that makes it sees the mark
	}
	e, err := d.OpenEngine(d.ctx, r.EngineHost)
	if err != nil {
		return err
	}
	defer e.Close()
	return teardown.Stop(d.ctx, e, s.sandboxDir, r.Container)
}
