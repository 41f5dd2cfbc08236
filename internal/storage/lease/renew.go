package lease

import (
	"context"
	"errors"
)

// renewals renews the lease until it is lost or ctx ends.
func (l *Lease) renewals(ctx context.Context) {
	l.mu.Lock()
	next := l.sent + renewEvery
	l.mu.Unlock()
	for {
		if l.clock.Until(ctx, next) != nil {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, attemptFor)
		err := l.renew(attempt)
		cancel()
		var gone *LostError
		switch {
		case err == nil:
			l.mu.Lock()
			next = l.sent + renewEvery
			if l.phase == doubt {
				next = l.clock.Now() // the answer came too late to open the fence
			}
			l.mu.Unlock()
		case ctx.Err() != nil:
			return
		case errors.As(err, &gone):
			l.mu.Lock()
			if l.phase != released {
				l.log.Error(gone.Error(), "event", "lease_lost", "holder", gone.SandboxID, "holder_instance", gone.Instance)
				l.becomeLocked(lost, gone)
			}
			l.mu.Unlock()
			return
		default:
			l.log.Warn("cannot renew the lease; trying again", "event", "lease_renewal_failed", "error", err)
			next = l.clock.Now() + retryEvery
		}
	}
}

// renew writes our record over the version we know. When that one is not there any more it
// finds out whose the object is now.
func (l *Lease) renew(ctx context.Context) error {
	for {
		err := l.write(ctx, l.etag)
		if !errors.Is(err, errChanged) {
			return err
		}
		s, err := l.opts.Store.Read(ctx, l.opts.Key)
		switch {
		case errors.Is(err, errNoLease):
			// Deleted. Before our deadline no sandbox can have taken it as expired: a cleanup by hand
			// deleted it. After the deadline a sandbox may have taken, used and released it.
			if !l.mayWrite() {
				return &LostError{}
			}
			l.log.Warn("the lease's object was deleted; writing it anew", "event", "lease_deleted")
			l.etag = ""
		case err != nil:
			return err
		case l.wrote(s):
			l.confirm(s.etag, l.pending.sent) // a renewal whose answer was lost
			return nil
		default:
			// With our own INSTANCE too: the version that we replaced was ours, so no earlier
			// process can have written since. A copy of this one lives.
			return &LostError{SandboxID: s.SandboxID, Instance: s.Instance, Copy: s.Instance == l.opts.Instance && !s.Released}
		}
	}
}

func (l *Lease) mayWrite() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFenceLocked()
	return l.phase == held
}
