package hot

import (
	"context"
	"time"
)

// A write whose answer was lost can arrive late: its connection broke, and the server that had
// it finishes it when the file has long been deleted, and the deletion has found nothing to
// delete. No look would find such an object before the next hydrate, which would bring the
// file back. So where writes may still arrive and nothing is to be, is looked again: now and
// then, and at the end of a flush.

// strayWait bounds the look at the end of a flush.
const strayWait = 2 * time.Second

// strays looks for them. settled are the paths of the round before: what did not come in a whole
// round does not come any more.
func (e *Syncer) strays(ctx context.Context, settled map[string]bool) (seen map[string]bool) {
	seen = map[string]bool{}
	for path, in := range e.journal.Strays() {
		if ctx.Err() != nil || e.isPending(path) {
			continue
		}
		if err := e.sender.Stray(ctx, path, in); err != nil {
			e.Log.Warn("it is not known whether a write arrived after its file was deleted", "event", "stray_unknown", "path", path, "error", err)
			break // the next one would hardly fare better
		}
		if seen[path] = true; settled[path] {
			e.journal.Arrived(path)
		}
	}
	return seen
}
