package objectstore

import (
	"context"
	"time"
)

// Outlive returns a context that ends grace after ctx: for a write whose caller has given up,
// and that is better let arrive. One that is cut off may arrive all the same, after its object
// has been removed.
func Outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(patient, func() { late.Stop() })
	})
	return patient, func() {
		stop()
		cancel(context.Canceled)
	}
}
