// Package lease decides which sandbox may write to a workspace: one sandbox at a time.
//
// The lease is one object, written with conditions. Acquire takes it with
// If-None-Match, a goroutine renews it with If-Match every renewEvery, Release gives
// it back. Every record carries a nonce, so that each renewal has an ETag of its
// own and If-Match means "no other process has written since".
//
// # Two clocks, and neither is the wall clock
//
// Whether a lease has expired is judged by the server's clock alone: it has when the
// Date of a response is more than expireAfter later than the object's Last-Modified.
// The clocks of two sandboxes are never compared.
//
// How long the holder may write is judged by its own CLOCK_BOOTTIME, which neither
// jumps nor stands still while the machine is suspended: writeFor after it sent (not:
// received the answer of) its last successful renewal. Sending comes before the server's
// Last-Modified, and writeFor is shorter than expireAfter, so a holder has stopped before
// another sandbox may begin, for any length of pause of it or its network.
//
// # The fence
//
// Every write to S3 goes through Fence.Write. While the lease is in doubt (no renewal
// within writeFor) it waits and what was under way is cancelled; a renewal that succeeds
// with the ETag known proves that no other sandbox took the lease, and writing goes on. Once another
// sandbox has it, every Write is refused with ErrLost, for good.
//
// A request that had left before the deadline may still arrive after it. No lease can
// prevent that: the request's own condition on its key decides.
//
// # Lost answers, and copies
//
// A renewal may arrive while its answer does not. The next one then fails with 412; the
// holder reads the object and, finding the nonce that it sent, knows that renewal to have
// succeeded: it counts for the fence from when it was first sent. Every attempt to replace one
// version sends the same record, so there is one such nonce.
//
// Any other nonce is another process, with another INSTANCE or with the same: a disk that was
// cloned or a machine that was resumed twice has two processes of one INSTANCE. The version
// that a renewal replaces is one that this very process wrote, so no process before it can have
// written since; the lease is lost. A process that starts with the INSTANCE of the holder takes the lease at once,
// since it cannot tell a dead holder from a copy; the holder learns it at its next renewal.
//
// # The seal
//
// A record also holds a [Seal], which says of one manifest that it can be trusted (package manifest
// has the rule). A holder leaves one as its last act, on top of its own last version, so that a holder
// which lost the lease cannot leave any. Every record of the holders after it repeats it. A lease is
// deleted when it is released only where there is no seal to be kept.
package lease

import "time"

// The lease's times. Server time stands in for the first, boot time for the others.
const (
	// expireAfter is 30 s and 2 s for the whole seconds of HTTP dates: a lease is
	// expired when Date is more than this after Last-Modified.
	expireAfter = 32 * time.Second

	// writeFor is how long after sending a renewal the holder may write.
	writeFor = 20 * time.Second

	// renewEvery is the time between renewals that succeed.
	renewEvery = 10 * time.Second

	// retryEvery is the pause between renewals that fail, and attemptFor the
	// longest that one may take: a connection that hangs is given up and another made.
	retryEvery = time.Second
	attemptFor = 5 * time.Second

	// pollEvery is how often a waiting sandbox looks whether the holder has gone.
	pollEvery = 2 * time.Second
)
