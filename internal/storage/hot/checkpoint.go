package hot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

// Checkpoint returns when what was on the disk when it was called is in S3. What cannot be
// stored is its error.
func (e *Syncer) Checkpoint(ctx context.Context) (contract.Checkpoint, error) {
	began := time.Now()
	select {
	case <-e.runs:
	case <-ctx.Done():
		return contract.Checkpoint{}, context.Cause(ctx)
	}
	e.mu.Lock()
	before := e.counts
	e.mu.Unlock()
	// Not before the first scan: the old name of a rename, of which the new one is a copy, has to be
	// seen gone before the new one is sent.
	hurried := 0
	defer func() {
		e.mu.Lock()
		e.flushingLocked(-hurried)
		e.mu.Unlock()
	}()
	for conflicts := before.conflicts; ; {
		// A file that was written through a hard link elsewhere, or through a mapping, raises no event:
		// only its stat tells.
		if err := e.obs.catchUp(ctx, true); err != nil {
			return contract.Checkpoint{}, fmt.Errorf("cannot find out what has changed: %w", err)
		}
		e.mu.Lock()
		if hurried == 0 {
			hurried = 1
			e.flushingLocked(hurried)
		}
		mark := e.queue.Mark()
		e.mu.Unlock()
		if err := e.through(ctx, mark); err != nil {
			return contract.Checkpoint{}, err
		}
		e.mu.Lock()
		made := e.counts.conflicts - conflicts
		conflicts += made
		e.mu.Unlock()
		if made == 0 {
			break
		}
		// A conflict copy that was made on the way has what was on the disk at the call.
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return contract.Checkpoint{
		Sequence: e.journal.Seq(), Took: time.Since(began),
		Files: int(e.counts.uploaded - before.uploaded), Bytes: e.counts.bytes - before.bytes,
	}, nil
}

// through waits until everything that was observed up to mark is in S3.
func (e *Syncer) through(ctx context.Context, mark uint64) error {
	tried := map[string]int{}
	e.mu.Lock()
	for name, n := range e.unstable {
		tried[name] = n
	}
	e.mu.Unlock()
	for {
		e.mu.Lock()
		through := e.queue.Through(mark) && !e.stuckUntried()
		done := through || e.quietLocked()
		err := e.hopelessLocked(tried)
		if done && err == nil {
			err = e.leftLocked(through)
		}
		waiters := e.waiters
		e.mu.Unlock()
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select {
		case <-waiters:
		case <-ctx.Done():
			return fmt.Errorf("cannot save everything in time: %w", context.Cause(ctx))
		}
	}
}

// errHeld says that the changes that are left wait for something that no job brings.
var errHeld = errors.New("deletions are held back by files that cannot be saved")

// errStuck says that a file could not be stored, which no failure of its own tells.
var errStuck = errors.New("not every file could be saved")

// hopelessLocked is why waiting cannot make a checkpoint succeed, if so. It looks at no more than a few names, since it is
// asked whenever a job has ended.
func (e *Syncer) hopelessLocked(tried map[string]int) error {
	switch {
	case e.lost != nil:
		return fmt.Errorf("cannot save: %w (waiting does not help)", e.lost)
	case e.held != "" && e.queue.HoldsAny():
		return fmt.Errorf("cannot save deletions, they are held back: %s (waiting does not help)", e.held)
	}
	for name, n := range e.unstable {
		if n > tried[name] {
			return fmt.Errorf("cannot save %q: it changes, or is locked, whenever it is read", strings.TrimSuffix(name, "/"))
		}
	}
	return nil
}

// leftLocked is why a checkpoint fails for which nothing is left to wait for. through: all that it waits for is in S3.
func (e *Syncer) leftLocked(through bool) error {
	var names []string
	for name := range e.failures {
		names = append(names, name)
	}
	for path := range e.unsupported.why {
		names = append(names, path)
	}
	switch {
	case len(names) > 0:
		first := strings.TrimSuffix(names[0], "/")
		why := e.unsupported.why[names[0]]
		if f, ok := e.failed[names[0]]; ok {
			why = f.reason
		}
		return fmt.Errorf("%d files cannot be saved, %q among them: %s", len(names), first, why)
	case !through:
		return errHeld
	case e.queue.StuckLen() > 0:
		return errStuck // for a reason that is taken for the store's, or found just before tried was made
	}
	return nil
}
