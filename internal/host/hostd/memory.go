package hostd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd/memcg"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// divideEvery bounds how long a process that is exec'd into a sandbox stays beside PID 1. Nothing
// announces it; a look at a sandbox costs some 10 us, since its other processes are elsewhere.
const divideEvery = 50 * time.Millisecond

// DividesMemory says whether the daemon of this operator keeps memory for storage: it takes root.
func DividesMemory() bool { return os.Geteuid() == 0 }

// divider keeps a part of each sandbox's memory for PID 1 and storage.
type divider struct {
	log        *slog.Logger
	openEngine func(ctx context.Context, host string) (Engine, error)
}

// divide does so for one, until it ends.
func (d divider) divide(ctx context.Context, s *sandbox) {
	if !DividesMemory() {
		return
	}
	group, err := d.divided(ctx, s)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, memcg.ErrEnded) {
			d.log.Warn("a sandbox's memory is not divided: its command may leave storage none", "event", "memory_undivided", "sandbox_id", s.sandboxDir.ID, "error", err.Error())
		}
		return
	}
	if group == nil {
		return
	}
	d.log.Info("a sandbox's memory is divided", "event", "memory_divided", "sandbox_id", s.sandboxDir.ID)
	for failed := false; tick(ctx); {
		_, err := group.Sweep()
		if errors.Is(err, memcg.ErrEnded) {
			return
		}
		if err != nil && !failed {
			d.log.Warn("a process stays beside PID 1", "event", "sweep_failed", "sandbox_id", s.sandboxDir.ID, "error", err.Error())
		}
		failed = err != nil
	}
}

// divided waits for the sandbox's container to run and divides its cgroup. The group is nil where
// there is no limit.
func (d divider) divided(ctx context.Context, s *sandbox) (*memcg.Group, error) {
	for tick(ctx) {
		r, err := s.sandboxDir.Load()
		if err != nil {
			return nil, err
		}
		switch {
		case r.Ended != nil:
			return nil, memcg.ErrEnded
		case r.Container == "":
			continue
		case r.Limits.Memory == 0:
			return nil, nil
		}
		c, err := d.container(ctx, r)
		if err != nil {
			return nil, err
		}
		if c.PID != 0 {
			return memcg.Divide(c.PID, c.ID, r.Limits.WorkloadMemory())
		}
	}
	return nil, ctx.Err()
}

func (d divider) container(ctx context.Context, r datadir.Record) (engine.Container, error) {
	e, err := d.openEngine(ctx, r.EngineHost)
	if err != nil {
		return engine.Container{}, err
	}
	defer e.Close()
	return e.Inspect(ctx, r.Container)
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
