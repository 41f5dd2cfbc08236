package lease

import (
	"context"
	"sync"

	"github.com/matrx/sandbox/contract"
)

// Holder is what stands for the lease once it is known whether there is one: a *Lease, None,
// or Superseded.
type Holder interface {
	Fence
	Status() contract.LeaseStatus
	// Seal is what the holders before have left.
	Seal() Seal
	// Release gives the lease back. The holders to come get seal, or where it is zero the one that was there.
	Release(ctx context.Context, seal Seal) error
}

var (
	_ Holder = (*Lease)(nil)
	_ Holder = None{}
	_ Holder = Superseded{}
	_ Holder = (*Deferred)(nil)
)

// Deferred is a Holder that is not known yet: writes wait for it. What reads S3, or only the
// disk, need not: a storage process that follows a killed one watches the home at once,
// also while S3 is away.
type Deferred struct {
	once   sync.Once
	known  chan struct{}
	holder Holder
}

// NewDeferred makes one; Is must follow.
func NewDeferred() *Deferred { return &Deferred{known: make(chan struct{})} }

// Is says which lease it is. Only the first call counts.
func (l *Deferred) Is(h Holder) {
	l.once.Do(func() {
		l.holder = h
		close(l.known)
	})
}

func (l *Deferred) get() Holder {
	select {
	case <-l.known:
		return l.holder
	default:
		return nil
	}
}

// Write implements Fence.
func (l *Deferred) Write(ctx context.Context) (context.Context, context.CancelFunc, error) {
	select {
	case <-l.known:
		return l.holder.Write(ctx)
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// Status is "waiting" until it is known.
func (l *Deferred) Status() contract.LeaseStatus {
	if h := l.get(); h != nil {
		return h.Status()
	}
	return contract.LeaseStatus{State: "waiting"}
}

// Seal is that of what is known.
func (l *Deferred) Seal() Seal {
	if h := l.get(); h != nil {
		return h.Seal()
	}
	return Seal{}
}

// Release releases what is known; a write that still waits then waits for its context.
func (l *Deferred) Release(ctx context.Context, seal Seal) error {
	if h := l.get(); h != nil {
		return h.Release(ctx, seal)
	}
	return nil
}

// Superseded is the Holder of a sandbox that comes back after a crash and finds that another one
// has taken the workspace: every write is refused.
type Superseded struct {
	By *HeldError
}

func (t Superseded) err() *LostError {
	return &LostError{SandboxID: t.By.SandboxID, Instance: t.By.Instance}
}

// Write implements Fence.
func (t Superseded) Write(ctx context.Context) (context.Context, context.CancelFunc, error) {
	return nil, nil, t.err()
}

// Status is "lost".
func (t Superseded) Status() contract.LeaseStatus {
	return contract.LeaseStatus{State: "lost", Warning: t.err().Error()}
}

// Seal is none: nothing is hydrated.
func (Superseded) Seal() Seal { return Seal{} }

// Release leaves the lease to its holder.
func (Superseded) Release(context.Context, Seal) error { return nil }
