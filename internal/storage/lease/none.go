package lease

import (
	"context"

	"github.com/matrx/sandbox/contract"
)

// None is the fence of a store without conditional writes: it always admits. Nothing keeps
// a second sandbox of the same user out.
type None struct{}

// Warning is what status and the log say then.
func (None) Warning() string {
	return "the store ignores the conditions of writes, so there is no lease: " +
		"two sandboxes of this user at the same time would overwrite each other's files"
}

// Write implements Fence.
func (None) Write(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	w, cancel := context.WithCancel(ctx)
	return w, cancel, nil
}

// Status says that there is no lease.
func (n None) Status() contract.LeaseStatus {
	return contract.LeaseStatus{State: "none", Warning: n.Warning()}
}

// Seal is none: another sandbox may have written at any time.
func (None) Seal() Seal { return Seal{} }

// Release does nothing.
func (None) Release(context.Context, Seal) error { return nil }
