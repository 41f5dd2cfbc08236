package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// claimant makes the workspace ours.
type claimant struct {
	cfg      *config.Config
	store    *objectstore.Store
	instance string
	log      *slog.Logger
	onChange func(contract.LeaseStatus)
}

// claim looks whether the bucket is there and usable, finds out which conditions it honours
// and takes the lease, all side by side: each is round trips. within bounds them, and the
// wait for another holder comes on top. The error is a *lease.HeldError when there is one.
func (c *claimant) claim(ctx context.Context, within, wait time.Duration) (lease.Holder, error) {
	var taken *lease.Lease
	var honoured objectstore.Conditional
	ctx, cancel := context.WithTimeout(ctx, within+wait)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	short, cancelShort := context.WithTimeout(gctx, within)
	defer cancelShort()
	g.Go(func() error { return c.store.Check(short, c.cfg.UserPrefix()) })
	g.Go(func() (err error) {
		honoured, err = c.store.Probe(short, c.cfg.MetaPrefix())
		return err
	})
	g.Go(func() (err error) {
		taken, err = lease.Acquire(gctx, lease.Options{
			Store:     lease.Objects{Store: c.store},
			Key:       c.cfg.UserPrefix() + contract.LeaseName,
			Prefix:    workspace(c.cfg),
			SandboxID: c.cfg.SandboxID,
			Instance:  c.instance,
			Wait:      wait,
			Takeover:  c.cfg.LeaseTakeover,
			Log:       c.log,
			OnChange:  c.onChange,
		})
		return err
	})
	err := g.Wait()
	if err != nil {
		if taken != nil {
			giveBack(ctx, taken, c.log)
		}
		return nil, err
	}
	if !honoured.Put {
		// Whatever Acquire read and wrote there proves nothing.
		giveBack(ctx, taken, c.log)
		c.log.Warn(lease.None{}.Warning(), "event", "lease_none")
		return lease.None{}, nil
	}
	return taken, nil
}

// giveBack releases a lease that is of no use, within a moment: it expires by itself.
func giveBack(ctx context.Context, l lease.Holder, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseFor)
	defer cancel()
	if err := l.Release(ctx); err != nil {
		log.Warn("the lease could not be released", "event", "lease_release_failed", "error", err)
	}
}

// workspace is what people know the user's part of the bucket by.
func workspace(c *config.Config) string {
	return fmt.Sprintf("s3://%s/%s", c.S3.Bucket, c.UserPrefix())
}

// reclaim is claim for a process that resumes: the workload runs, so nothing but another
// holder is a reason to give up. problem is told what is in the way, and "" in the end.
func (c *claimant) reclaim(ctx context.Context, problem func(string)) (lease.Holder, error) {
	for {
		h, err := c.claim(ctx, reclaimFor, 0)
		var held *lease.HeldError
		switch {
		case err == nil:
			problem("")
			return h, nil
		case errors.As(err, &held):
			return lease.Taken{By: held}, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		c.log.Warn("the workspace cannot be taken back yet; trying again", "event", "reclaim_failed", "error", err)
		problem("changes are kept on disk only: " + err.Error())
		select {
		case <-time.After(reclaimEvery):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

const (
	releaseFor   = 5 * time.Second
	reclaimFor   = 30 * time.Second
	reclaimEvery = time.Second
)
