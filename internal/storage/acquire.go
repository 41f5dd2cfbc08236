package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// acquirer makes the workspace ours.
type acquirer struct {
	cfg      *config.Config
	store    *objectstore.Store
	instance string
	log      *slog.Logger
	onChange func(contract.LeaseStatus)
}

// claim looks whether the bucket is there and usable, finds out which conditions it honours
// and takes the lease, side by side: each is round trips. Nothing is written before the bucket has
// been seen: some stores make the bucket that is written to, and one whose name is mistyped would
// be an empty home. within bounds all of it, and the wait for another holder comes on top. The error is a
// *lease.HeldError when there is one.
func (c *acquirer) claim(ctx context.Context, within, wait time.Duration) (lease.Holder, error) {
	acquire, cancel := context.WithTimeout(ctx, within+wait)
	defer cancel()
	short, cancelShort := context.WithTimeout(ctx, within)
	defer cancelShort()
	var (
		taken    *lease.Lease
		honoured objectstore.Conditional
		refused  [2]error // what is wrong with the bucket
		held     error
		all      sync.WaitGroup
		seen     = make(chan struct{}) // closed when the bucket is there
	)
	look := func(i int, f func() error) {
		all.Go(func() {
			if refused[i] = f(); refused[i] != nil {
				cancel() // there is nothing to wait for
			}
		})
	}
	look(0, func() error {
		if err := c.store.Check(short, c.cfg.UserPrefix()); err != nil {
			return err
		}
		close(seen)
		return nil
	})
	look(1, func() (err error) {
		if !awaitSeen(acquire, seen) {
			return nil // the other look says why
		}
		if honoured, err = c.probe(short); err == nil && !honoured.Put {
			cancel() // there can be no lease
		}
		return err
	})
	all.Go(func() {
		taken, held = lease.Acquire(acquire, lease.Options{
			Store:     afterSeen{lease.Objects{Store: c.store}, seen},
			Key:       c.cfg.UserPrefix() + contract.LeaseName,
			Prefix:    workspace(c.cfg),
			SandboxID: c.cfg.SandboxID,
			Instance:  c.instance,
			Wait:      wait,
			Takeover:  c.cfg.LeaseTakeover,
			Log:       c.log,
			OnChange:  c.onChange,
		})
	})
	all.Wait()
	if err := cmp.Or(refused[0], refused[1], context.Cause(ctx)); err != nil {
		c.discard(ctx, taken)
		return nil, err
	}
	if !honoured.Put {
		// Neither the reads and writes of Acquire nor its refusals prove anything there.
		c.discard(ctx, taken)
		c.log.Warn(lease.None{}.Warning(), "event", "lease_none")
		return lease.None{}, nil
	}
	if held != nil {
		return nil, held
	}
	return taken, nil
}

// discard releases a lease that was taken and is of no use.
func (c *acquirer) discard(ctx context.Context, taken *lease.Lease) {
	if taken != nil {
		release(ctx, taken, lease.Seal{}, c.log)
	}
}

// afterSeen is a lease.Store that writes nothing before the bucket has been seen.
type afterSeen struct {
	lease.Store
	seen <-chan struct{}
}

func (s afterSeen) Write(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if !awaitSeen(ctx, s.seen) {
		return "", context.Cause(ctx)
	}
	return s.Store.Write(ctx, key, body, etag)
}

// awaitSeen returns when the bucket has been seen; false when ctx ended first.
func awaitSeen(ctx context.Context, seen <-chan struct{}) bool {
	select {
	case <-seen:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe is Probe, which a Stop or another holder's lease does not interrupt at once: a write
// that is cancelled may arrive after its object has been removed, and would stay.
func (c *acquirer) probe(ctx context.Context) (objectstore.Conditional, error) {
	patient, cancel := objectstore.Outlive(ctx, probeGrace)
	defer cancel()
	return c.store.Probe(patient, c.cfg.UserPrefix()+contract.ProbePrefix)
}

// sweep removes what a Probe that was killed has left.
func (c *acquirer) sweep(ctx context.Context) {
	for e, err := range c.store.List(ctx, objectstore.ListOptions{Prefix: c.cfg.UserPrefix() + contract.ProbePrefix}) {
		if err != nil {
			return // the next start may have more luck
		}
		if time.Since(e.LastModified) > probeAge {
			_ = c.store.Delete(ctx, e.Key, objectstore.Condition{IfMatch: e.ETag})
		}
	}
}

// release releases a lease within a moment: it expires by itself. A zero seal leaves the one that was there.
func release(ctx context.Context, l lease.Holder, seal lease.Seal, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseFor)
	defer cancel()
	if err := l.Release(ctx, seal); err != nil {
		log.Warn("the lease could not be released", "event", "lease_release_failed", "error", err)
	}
}

// workspace is what people know the user's part of the bucket by.
func workspace(c *config.Config) string {
	return fmt.Sprintf("s3://%s/%s", c.S3.Bucket, c.UserPrefix())
}

// reclaim is claim for a process that resumes: the workload runs, so nothing but another
// holder is a reason to give up. problem is told what is in the way, and "" in the end.
func (c *acquirer) reclaim(ctx context.Context, problem func(string)) (lease.Holder, error) {
	for {
		h, err := c.claim(ctx, reclaimFor, 0)
		var held *lease.HeldError
		switch {
		case err == nil:
			problem("")
			return h, nil
		case errors.As(err, &held):
			return lease.Superseded{By: held}, nil
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
	probeGrace = 2 * time.Second
	probeAge   = time.Hour // one that is under way takes seconds

	releaseFor   = 5 * time.Second
	reclaimFor   = 30 * time.Second
	reclaimEvery = time.Second
)
