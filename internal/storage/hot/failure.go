package hot

import (
	"errors"
	"strings"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/lease"
)

// failure is why a name is not stored.
type failure struct {
	reason   string
	tries    int
	uploaded int64 // how many uploads had succeeded when it failed
	wide     bool  // the store failed, not the name
}

// fail notes that a name cannot be stored. With the lock held.
func (e *Syncer) fail(name string, err error) {
	f := e.failed[name]
	if f.reason != err.Error() || f.wide {
		e.Log.Error("a file cannot be saved", "event", "not_saved", "path", strings.TrimSuffix(name, "/"), "error", err)
	}
	e.failed[name] = failure{reason: err.Error(), tries: f.tries + 1, uploaded: e.counts.uploaded}
}

// aloneAfter is how often a name has to fail before that is taken for its own fault, while too
// few others have failed to tell.
const aloneAfter = 2

// suspect finds out whether a failure is the name's or the store's. The name's it is when others
// were stored since it failed last: then it is reported, and tried later. Its pause is longer
// than the breaker's and grows, so that the next change that is tried is another one. With the
// lock held.
func (e *Syncer) suspect(name string, r upload.Result, now queue.Time) (o queue.Outcome, retry queue.Time) {
	f := e.failed[name]
	retry = now + backoff(suspectFirst, suspectMost, f.tries)
	alone := f.tries > 0 && e.counts.uploaded > f.uploaded
	if !alone {
		if errors.Is(r.Err, lease.ErrLost) && e.lost == nil {
			e.lost = r.Err
			e.Log.Error("another sandbox has the workspace; nothing is written any more", "event", "lease_lost", "error", r.Err)
		}
		if e.breaker.fail(now, name, r.Err, r.Blame == upload.StoreWide) {
			for other := range e.breaker.suspects {
				if f, ok := e.failed[other]; ok {
					f.wide = true
					e.failed[other] = f
				}
			}
			e.failed[name] = failure{reason: r.Err.Error(), tries: f.tries + 1, uploaded: e.counts.uploaded, wide: true}
			return queue.Retry, max(retry, e.breaker.until+1)
		}
		alone = f.tries+1 >= aloneAfter
	}
	e.fail(name, r.Err)
	if alone {
		return queue.Stuck, retry
	}
	return queue.Retry, retry
}

// storeAnsweredLocked notes that the store can be used: what failed with it is tried again at once.
func (e *Syncer) storeAnsweredLocked() {
	if e.breaker.err == nil {
		e.breaker.succeed()
		return
	}
	e.breaker.succeed()
	for name, f := range e.failed {
		if f.wide {
			f.tries = 1
			e.failed[name] = f
			e.queue.Retry(name)
		}
	}
}

// failures yields the names that cannot be stored themselves, with the reasons. With the lock held.
func (e *Syncer) failures(yield func(name, reason string) bool) {
	for name, f := range e.failed {
		if !f.wide && !yield(name, f.reason) {
			return
		}
	}
}
