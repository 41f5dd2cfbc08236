package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// Close ends the lease's goroutines and refuses every further write; the object stays, as
// when the process had been killed.
func (l *Lease) Close() {
	l.mu.Lock()
	if l.phase != released {
		l.becomeLocked(released, ErrReleased)
	}
	l.mu.Unlock()
	l.stop()
	l.done.Wait()
}

// Release gives the lease back, so that the next sandbox need not wait. What is still under
// way is cancelled. A lease that was lost is left to its holder. seal is for the holders to come; when it is zero they
// get the one that was there.
func (l *Lease) Release(ctx context.Context, seal Seal) error {
	seal = cmp.Or(seal, l.seal)
	l.mu.Lock()
	was := l.phase
	l.mu.Unlock()
	l.Close()
	if was == lost || was == released {
		return nil
	}
	for {
		// A renewal that Close cancelled may have been stored, which changes the ETag.
		err := l.storeRelease(ctx, seal)
		if err == nil {
			l.log.Info("the workspace was given back", "event", "lease_released", "instance", l.opts.Instance)
			return nil
		}
		if !errors.Is(err, errChanged) {
			return fmt.Errorf("cannot release the lease of %s (it expires by itself in %s): %w", l.opts.Prefix, expireAfter, err)
		}
		s, err := l.opts.Store.Read(ctx, l.opts.Key)
		switch {
		case errors.Is(err, errNoLease):
			return nil
		case err != nil:
			return fmt.Errorf("cannot release the lease of %s (it expires by itself in %s): %w", l.opts.Prefix, expireAfter, err)
		case !l.wrote(s):
			return nil // another's, or released by an attempt before
		}
		l.etag = s.etag
	}
}

// storeRelease removes the object, or leaves a record with the seal in its place.
func (l *Lease) storeRelease(ctx context.Context, seal Seal) error {
	record := l.record(true, seal).encode()
	if seal == (Seal{}) {
		return l.opts.Store.Remove(ctx, l.opts.Key, l.etag, record)
	}
	_, err := l.opts.Store.Write(ctx, l.opts.Key, record, l.etag)
	return err
}
