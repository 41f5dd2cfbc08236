package lease

import (
	"context"
)

// Fence stands before every write to S3.
type Fence interface {
	// Write waits until this sandbox may write and returns a context for that one write. The
	// context is cancelled with the cause ErrInDoubt when the lease's deadline passes; cancel
	// must be called when the write has been answered. The error is ctx's, ErrReleased, or one
	// for which errors.Is(err, ErrLost) holds.
	Write(ctx context.Context) (write context.Context, cancel context.CancelFunc, err error)
}

var (
	_ Fence = (*Lease)(nil)
	_ Fence = (*None)(nil)
)

// Write implements Fence.
func (l *Lease) Write(ctx context.Context) (context.Context, context.CancelFunc, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, context.Cause(ctx)
		}
		l.mu.Lock()
		l.closeFenceLocked()
		switch l.phase {
		case held:
			inner, cancel := context.WithCancelCause(ctx)
			w := &write{Context: inner, cancel: cancel, lease: l}
			l.writes[w] = struct{}{}
			l.mu.Unlock()
			return w, w.end, nil
		case lost, released:
			err := l.why
			l.mu.Unlock()
			return nil, nil, err
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// write is the context of one write. A pause of the whole process (SIGSTOP, a frozen cgroup,
// a suspended machine) can end with any goroutine running before the one that watches the
// deadline. So Done and Err look at the clock themselves: every caller, net/http at the
// start of each request among them, learns the truth at once.
type write struct {
	context.Context
	cancel context.CancelCauseFunc
	lease  *Lease
}

func (w *write) Done() <-chan struct{} {
	w.lease.closeFence()
	return w.Context.Done()
}

func (w *write) Err() error {
	w.lease.closeFence()
	return w.Context.Err()
}

func (w *write) end() {
	w.lease.mu.Lock()
	delete(w.lease.writes, w)
	w.lease.mu.Unlock()
	w.cancel(context.Canceled)
}

func (l *Lease) closeFence() {
	l.mu.Lock()
	l.closeFenceLocked()
	l.mu.Unlock()
}

// closeFenceLocked puts the lease in doubt when its deadline has passed.
func (l *Lease) closeFenceLocked() {
	if l.phase == held && l.clock.Now() >= l.deadline {
		l.log.Warn("S3 is not written to until the lease is renewed", "event", "lease_in_doubt",
			"since_renewal_s", (l.clock.Now() - l.deadline + writeFor).Seconds())
		l.becomeLocked(doubt, ErrInDoubt)
	}
}

// becomeLocked moves to another phase. On leaving held, all that is under way is cancelled
// before the lock is given up, so that no write outlives the phase that allowed it.
func (l *Lease) becomeLocked(p phase, why error) {
	if p != held {
		for w := range l.writes {
			w.cancel(why)
		}
		clear(l.writes)
	}
	l.phase, l.why = p, why
	close(l.changed)
	l.changed = make(chan struct{})
}

// watchDeadline closes the fence on time when no caller asks.
func (l *Lease) watchDeadline(ctx context.Context) {
	for {
		l.mu.Lock()
		l.closeFenceLocked()
		p, deadline, changed := l.phase, l.deadline, l.changed
		l.mu.Unlock()
		switch p {
		case lost, released:
			return
		case held:
			// A renewal moves the deadline; the old one is then found not to be due.
			if l.clock.Until(ctx, deadline) != nil {
				return
			}
		case doubt:
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}
