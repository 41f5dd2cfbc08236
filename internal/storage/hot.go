package storage

import (
	"context"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/wire"
)

// hotPath is the home as the session needs it.
type hotPath interface {
	// Hydrate brings the home to what S3 holds. seal is the lease's.
	Hydrate(ctx context.Context, seal lease.Seal) (wire.Hydrated, error)
	// Resume goes on from the journal of a process that was killed. It asks nothing of S3.
	Resume(ctx context.Context) error
	// Run watches the home and saves changes until ctx ends.
	Run(ctx context.Context) error
	// Drain says that the flush is near, so that its bulk may begin.
	Drain(deadline time.Time)
	// Flush saves the rest before ctx's deadline and says what it could not save. Run goes on
	// meanwhile.
	Flush(ctx context.Context) (wire.Flushed, error)
	// Seal is what the lease is released with, after Flush and the end of Run.
	Seal() lease.Seal
	Checkpoint(ctx context.Context) (contract.Checkpoint, error)
	Status() contract.HotStatus
	Close() error
}

var _ hotPath = (*hot.Syncer)(nil)

func newHot(s *session) (hotPath, error) {
	return hot.New(hot.Options{
		Config: s.cfg, Store: s.store, Fence: s.deferred, Log: s.log,
		Problem: func(p string) { s.reportProblem(fromHot, p) },
	})
}
