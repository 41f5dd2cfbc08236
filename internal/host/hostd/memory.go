package hostd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/host/hostd/memcg"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// divideEvery bounds how long a process that the engine execs into a sandbox stays beside PID 1. Nothing
// announces it; a look at a sandbox costs some 10 us, since its other processes are elsewhere.
const divideEvery = 50 * time.Millisecond

// DividesMemory says whether the daemon of this operator keeps memory for storage: it takes root.
func DividesMemory() bool { return os.Geteuid() == 0 }

// divider keeps a part of a sandbox's memory for PID 1 and storage.
type divider struct {
	log        *slog.Logger
	openEngine func(ctx context.Context, host string) (Engine, error)
	sandboxDir datadir.Sandbox

	mu    sync.Mutex
	pid1  int          // of the container's present life
	group *memcg.Group // nil: it is not divided
}

var errNoLimit = errors.New("the sandbox's memory has no limit")

// divide divides the memory of a life of the container, of which it knows PID 1 on this machine.
func (d *divider) divide(pid1 int, r datadir.Record) (*memcg.Group, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.group != nil && d.pid1 == pid1 {
		return d.group, nil
	}
	if r.Limits.Memory == 0 {
		return nil, errNoLimit
	}
	g, err := memcg.Divide(pid1, r.Container, r.Limits.WorkloadMemory())
	if err != nil {
		return nil, err
	}
	d.pid1, d.group = pid1, g
	d.log.Info("a sandbox's memory is divided", "event", "memory_divided", "sandbox_id", r.SandboxID)
	return g, nil
}

// present is the group of the present life, as far as that is known.
func (d *divider) present() *memcg.Group {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.group
}

// forget is for a group whose container has ended.
func (d *divider) forget(g *memcg.Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.group == g {
		d.group = nil
	}
}

// sweep finds what is beside PID 1, until ctx is done.
func (d *divider) sweep(ctx context.Context) {
	group, err := d.found(ctx)
	if errors.Is(err, errNoLimit) {
		return
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, memcg.ErrEnded) {
		d.log.Warn("a sandbox's memory is not divided: its command may leave storage none", "event", "memory_undivided", "sandbox_id", d.sandboxDir.ID, "error", err.Error())
	}
	for failed := false; tick(ctx); group = d.present() {
		if group == nil { // until a next life of the container asks for it
			continue
		}
		_, err := group.Sweep()
		if errors.Is(err, memcg.ErrEnded) {
			d.forget(group)
			continue
		}
		if err != nil && !failed {
			d.log.Warn("a process stays beside PID 1", "event", "sweep_failed", "sandbox_id", d.sandboxDir.ID, "error", err.Error())
		}
		failed = err != nil
	}
}

// found divides the memory of a container that runs by what the engine says of it: its image may be older than the
// request to move its command, and a daemon before this one may have been asked.
func (d *divider) found(ctx context.Context) (*memcg.Group, error) {
	var e Engine // opened once: an engine takes longer to say what it is than what a container is
	defer func() {
		if e != nil {
			e.Close()
		}
	}()
	for tick(ctx) {
		if g := d.present(); g != nil {
			return g, nil
		}
		r, err := d.sandboxDir.Load()
		if err != nil {
			return nil, err
		}
		switch {
		case r.Ended != nil:
			return nil, memcg.ErrEnded
		case r.Container == "":
			continue
		case r.Limits.Memory == 0:
			return nil, errNoLimit
		}
		if e == nil {
			if e, err = d.openEngine(ctx, r.EngineHost); err != nil {
				return nil, err
			}
		}
		c, err := e.Inspect(ctx, r.Container)
		if err != nil {
			return nil, err
		}
		if c.PID != 0 {
			return d.divide(c.PID, r)
		}
	}
	return nil, ctx.Err()
}

// move moves a process, by its number in the container, for a client with a number of this machine.
func (d *divider) move(client, inner int) error {
	group := d.present()
	if memcg.IsPID1(client) { // of another life than is known, or of the first
		r, err := d.sandboxDir.Load()
		if err != nil {
			return err
		}
		if group, err = d.divide(client, r); err != nil {
			return err
		}
	}
	if group == nil {
		return fmt.Errorf("the memory of the sandbox %s is not divided", d.sandboxDir.ID)
	}
	return group.Move(inner)
}

// tick waits; false when ctx is done.
func tick(ctx context.Context) bool {
	t := time.NewTimer(divideEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
