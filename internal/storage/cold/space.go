package cold

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

// withSpace runs something that needs room on the disk. While there is none and uploads may still
// make some, it waits for them; ENOSPC when they do not within core.patience, or when nothing
// but the caller's own open file is left that could go.
func (fl *files) withSpace(ctx context.Context, n *node, do func() error) error {
	err := do()
	if !noSpace(err) {
		return err
	}
	fl.mu.Lock()
	fl.changes.hurryUp(1)
	fl.mu.Unlock()
	defer func() {
		fl.mu.Lock()
		fl.changes.hurryUp(-1)
		fl.mu.Unlock()
	}()
	timer := time.NewTimer(fl.patience)
	defer timer.Stop()
	for noSpace(err) {
		changed := fl.cache.Changed()
		fl.mu.Lock()
		progress, hope := fl.changes.progress, fl.mayMakeRoom(n)
		fl.mu.Unlock()
		if !hope {
			return err
		}
		// Between the failure and here something may have changed already.
		if err = do(); !noSpace(err) {
			return err
		}
		select {
		case <-changed:
			timer.Reset(fl.patience)
		case <-progress:
		case <-timer.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err = do()
	}
	return err
}

func noSpace(err error) bool {
	return errors.Is(err, cache.ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// mayMakeRoom says that something other than n is on its way to S3.
func (fl *files) mayMakeRoom(n *node) bool {
	for _, s := range fl.changes.dirtyKeys {
		if s.node != nil && s.node != n && s.node.dirty() && s.err == nil && !s.covered {
			return true
		}
	}
	return false
}

// hurryUp has changes go up without resting first, while by is in effect. With mu.
func (ch *changes) hurryUp(by int) {
	ch.hurry += by
	if by < 0 || ch.hurry > 1 {
		return
	}
	ch.ready.dueNow(time.Now(), func(s *dirtyKey) bool { return s.failures == 0 })
	ch.wake()
}
