package cold

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

// withSpace runs something that needs room on the disk. While there is none and uploads may still
// make some, it waits for them; ENOSPC when they do not within FS.patience, or when nothing
// but the caller's own open file is left that could go.
func (fs *FS) withSpace(ctx context.Context, n *node, do func() error) error {
	err := do()
	if !noSpace(err) {
		return err
	}
	fs.mu.Lock()
	fs.hurryUp(1)
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		fs.hurryUp(-1)
		fs.mu.Unlock()
	}()
	timer := time.NewTimer(fs.patience)
	defer timer.Stop()
	for noSpace(err) {
		changed := fs.cache.Changed()
		fs.mu.Lock()
		progress, hope := fs.progress, fs.mayMakeRoom(n)
		fs.mu.Unlock()
		if !hope {
			return err
		}
		// Between the failure and here something may have changed already.
		if err = do(); !noSpace(err) {
			return err
		}
		select {
		case <-changed:
			timer.Reset(fs.patience)
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
func (fs *FS) mayMakeRoom(n *node) bool {
	for _, s := range fs.dirtyKeys {
		if s.node != nil && s.node != n && s.node.dirty() && s.err == nil && !s.covered {
			return true
		}
	}
	return false
}

// hurryUp has changes go up without resting first, while by is in effect. With mu.
func (fs *FS) hurryUp(by int) {
	fs.hurry += by
	if by < 0 || fs.hurry > 1 {
		return
	}
	fs.ready.dueNow(time.Now(), func(s *dirtyKey) bool { return s.failures == 0 })
	fs.wake()
}
