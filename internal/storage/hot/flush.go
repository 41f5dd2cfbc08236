package hot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/wire"
)

// Drain says that the flush is near: everything that is pending goes up at once.
func (e *Syncer) Drain(time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flushingLocked(1)
}

func (e *Syncer) flushingLocked(n int) {
	e.flushing += n
	e.queue.Hurry(e.flushing > 0)
	e.verify.hurry = e.quiesced
	e.breaker.until = 0
	e.wake()
}

// flushReserve is kept of a flush's time to say what was not saved.
const flushReserve = 300 * time.Millisecond

// errUnsaved is the reason of a flush that left something out.
var errUnsaved = errors.New("not everything was saved in time")

// Flush saves the rest. No process but this one is left that could write to the home. What is
// not in S3 in the end is in the result and in contract.UnsavedFileName.
func (e *Syncer) Flush(ctx context.Context) (wire.Flushed, error) {
	began := time.Now()
	work, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		work, cancel = context.WithDeadlineCause(ctx, deadline.Add(-flushReserve), errUnsaved)
	}
	defer cancel()
	e.mu.Lock()
	before := e.counts
	e.quiesced = true
	e.flushingLocked(1)
	e.mu.Unlock()
	scanned := e.flushAll(work)
	e.mu.Lock()
	uploaded, bytes := e.counts.uploaded-before.uploaded, e.counts.bytes-before.bytes
	e.mu.Unlock()
	list := e.unsaved(scanned)
	f := wire.Flushed{Files: uploaded, Bytes: bytes, UnsavedCount: int64(len(list)), Unsaved: list}
	if len(list) > 0 {
		f.Reason = e.flushReason(scanned)
	}
	err := writeUnsaved(e.Config, e.Log, list)
	if len(list) == 0 {
		// It is for what hardly ever happens, and a store that does not answer is no reason to keep a sandbox from ending.
		last, done := context.WithTimeout(work, strayWait)
		e.strays(last, nil)
		done()
	}
	if len(list) == 0 && e.publisher.Changed() {
		e.publish(work)
	}
	e.mu.Lock()
	e.saved = len(list) == 0
	e.mu.Unlock()
	e.remember(e.journal.Sync())
	f.Took = time.Since(began)
	return f, err
}

// flushAll scans once more and waits until all that can be is in S3, or ctx ends.
func (e *Syncer) flushAll(ctx context.Context) (scanned error) {
	select {
	case <-e.runs:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := e.obs.catchUp(ctx, true); err != nil {
		return err
	}
	for {
		e.mu.Lock()
		quiet := e.quietLocked()
		unobserved := e.queue.InFlight() == 0 && e.queue.Unobserved()
		waiters := e.waiters
		e.mu.Unlock()
		if quiet || unobserved {
			// What the jobs themselves changed (a conflict copy), and what they found changed, counts.
			if err := e.obs.catchUp(ctx, false); err != nil {
				return nil //nolint:nilerr // the time is up; the home was scanned to its end before
			}
			e.mu.Lock()
			quiet = e.quietLocked()
			e.mu.Unlock()
			if quiet {
				return nil
			}
			continue
		}
		select {
		case <-waiters:
		case <-ctx.Done():
			return nil
		}
	}
}

// quietLocked tells whether nothing is left that waiting could save.
func (e *Syncer) quietLocked() bool {
	if e.lost != nil {
		return true
	}
	rest := e.queue.Len() - e.queue.StuckLen()
	if e.queue.InFlight() > 0 || e.verify.len() > 0 || e.stuckUntried() {
		return false
	}
	return rest == 0 || rest == e.queue.Held()
}

// stuckUntried tells whether something that was stuck has not been tried since the flush or the
// checkpoint began: in a hurry its turn is now. With the lock held.
func (e *Syncer) stuckUntried() bool {
	return e.queue.Retrying() || e.queue.Untried(e.now())
}

func (e *Syncer) flushReason(scanned error) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.problem(); p != "" {
		return p
	}
	if scanned != nil {
		return "the home was not scanned to its end: " + scanned.Error()
	}
	if e.queue.Len() > e.queue.StuckLen()+e.queue.Held() {
		return errUnsaved.Error()
	}
	return "not every file could be saved"
}

// unsaved lists everything that is not in S3 as it is on the disk.
func (e *Syncer) unsaved(scanned error) []contract.Unsaved {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []contract.Unsaved
	for p := range e.queue.Pending {
		list = append(list, contract.Unsaved{Path: shown(strings.TrimSuffix(p.Name, "/")), Reason: e.reason(p)})
	}
	for path := range e.verify.all {
		if _, pending := e.queue.Has(path); !pending {
			list = append(list, contract.Unsaved{Path: shown(path), Reason: "it was stored moments after it was changed, and was not compared once more in time"})
		}
	}
	for path, why := range e.unsupported.why {
		list = append(list, contract.Unsaved{Path: shown(path), Reason: why})
	}
	if e.held != "" {
		list = append(list, contract.Unsaved{Path: "", Reason: "deletions are held back: " + e.held})
	}
	if scanned != nil {
		list = append(list, contract.Unsaved{Path: "", Reason: "the home was not scanned to its end, so that there may be more: " + scanned.Error()})
	}
	slices.SortFunc(list, func(a, b contract.Unsaved) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// reason is why a name is not in S3. With the lock held.
func (e *Syncer) reason(p queue.Pending) string {
	why := "it was not uploaded in time"
	if f, ok := e.failed[p.Name]; ok {
		why = f.reason
	} else if p.Kind == queue.Delete {
		why = e.deleteReason(p.Name)
	} else if e.unstable[p.Name] > 0 {
		why = "not at rest: it changed, or was locked, whenever it was read"
	}
	if e.lost != nil {
		why = e.lost.Error()
	} else if e.breaker.err != nil {
		why = e.breaker.err.Error()
	}
	return why
}

// deleteReason is why a deletion was not sent. With the lock held.
func (e *Syncer) deleteReason(name string) string {
	switch {
	case e.held != "":
		return "its deletion is held back: " + e.held
	case e.queue.HeldByStuck(name):
		return "its deletion waits for a new file that cannot be saved: that may be where its content went"
	}
	return "its deletion was not sent in time"
}

// shown is a path as lists show it: bytes that are not UTF-8 are percent-escaped as in keys.
func shown(path string) string {
	if path == "" {
		return ""
	}
	if key, err := posixattr.Key(path); err == nil {
		return key
	}
	return strings.ToValidUTF8(path, "\ufffd")
}
