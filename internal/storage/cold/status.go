package cold

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/attrindex"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// failedMost is how many failures status lists.
const failedMost = 100

// failuresShown is from how many failures on a change is named: the first may have been a passing one.
const failuresShown = 3

// Status counts what is not in S3 yet.
func (fs *FS) Status() *contract.ColdStatus {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	st := &contract.ColdStatus{}
	st.CacheBytes, _, st.CacheMax = fs.cache.Used()
	st.Failed = append(st.Failed, fs.damaged[:min(len(fs.damaged), failedMost)]...)
	for s := range breathing(fs.core, maps.Values(fs.changes.dirtyKeys)) {
		if s.covered {
			continue
		}
		st.PendingFiles++
		if n := s.node; n != nil && n.kind == pending.File && n.dirty() {
			st.PendingBytes += n.size
		}
		if (s.final || s.failures >= failuresShown) && len(st.Failed) < failedMost {
			st.Failed = append(st.Failed, fs.writeback.unsaved(s))
		}
	}
	slices.SortFunc(st.Failed, func(a, b contract.Unsaved) int { return strings.Compare(a.Path, b.Path) })
	return st
}

// unsaved names a dirty key by its path in the sandbox, since the list of what is missing has the hot
// path's files as well.
func (wb *writeback) unsaved(s *dirtyKey) contract.Unsaved {
	u := contract.Unsaved{Path: wb.sandboxPath(s.path)}
	switch {
	case s.err != nil:
		u.Reason = s.err.Error()
	case s.deletion():
		u.Reason = "it is still to be deleted in S3"
	default:
		u.Reason = "it is still to be written to S3"
	}
	return u
}

// Flush brings everything that is pending when it is called to S3, without letting files rest. It
// returns what was not there when ctx ended, what will not get there by trying again, and what New
// had to set aside.
func (fs *FS) Flush(ctx context.Context) []contract.Unsaved {
	fs.mu.Lock()
	fs.changes.hurryUp(1)
	fs.changes.retryNow()
	until := fs.changes.seq
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		fs.changes.hurryUp(-1)
		fs.mu.Unlock()
	}()
	left := fs.writeback.await(ctx, func(s *dirtyKey) bool { return s.first <= until && !s.covered })
	if len(left) == 0 {
		fs.index.publish(ctx, attrindex.Final)
	}
	return append(left, fs.damaged...)
}

// retryNow has dirty keys that failed tried again at once. With mu.
func (ch *changes) retryNow() {
	for s := range breathing(ch.core, maps.Values(ch.dirtyKeys)) {
		if s.failures > 0 {
			s.failures, s.final = 0, false
			ch.holdDeletions(s, time.Now())
			if s.inReady > 0 {
				s.due = ch.dueAt(s, s.since)
				ch.ready.set(s)
			}
		}
	}
	ch.wake()
}

// await returns when none of the dirty keys that match is left, or when the rest will not go by waiting.
func (wb *writeback) await(ctx context.Context, match func(*dirtyKey) bool) []contract.Unsaved {
	var watched *dirtyKey // one of them, so that not all are looked at whenever one has gone
	for {
		wb.mu.Lock()
		if watched == nil || wb.changes.dirtyKeys[watched.path] != watched || watched.final || !match(watched) {
			watched = nil
			for _, s := range wb.changes.dirtyKeys {
				if match(s) && (!s.final || s.running) {
					watched = s
					break
				}
			}
		}
		if watched == nil || ctx.Err() != nil {
			defer wb.mu.Unlock()
			return wb.left(match)
		}
		progress := wb.changes.progress
		wb.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
		}
	}
}

func (wb *writeback) left(match func(*dirtyKey) bool) []contract.Unsaved {
	var left []contract.Unsaved
	for _, s := range wb.changes.dirtyKeys { // at one moment: a key that moves must not be missed
		if match(s) {
			left = append(left, wb.unsaved(s))
		}
	}
	slices.SortFunc(left, func(a, b contract.Unsaved) int { return strings.Compare(a.Path, b.Path) })
	return left
}
