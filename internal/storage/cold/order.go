package cold

import (
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

const (
	// openRest is how long a file that is kept open for writing is left alone before it goes up, and
	// openMost how long after its change any file goes up at the latest.
	openRest = 5 * time.Second
	openMost = 30 * time.Second

	// sparingRate, in bytes a second, is how fast the content of one file is sent when it is changed again
	// and again: the pause after an upload grows with what that sent.
	sparingRate = 4 << 20

	// retryFirst and retryMost bound the pause after a failure; what will not pass by
	// itself waits the longest at once.
	retryFirst = time.Second
	retryMost  = time.Minute
)

// wake has the dispatcher look again.
func (ch *changes) wake() {
	select {
	case ch.awake <- struct{}{}:
	default:
	}
}

// progressed tells those who wait for dirty keys to go.
func (ch *changes) progressed() { // with mu
	close(ch.progress)
	ch.progress = make(chan struct{})
}

// dueAt is when a dirty key may be worked on.
func (ch *changes) dueAt(s *dirtyKey, now time.Time) time.Time {
	switch {
	case s.failures > 0:
		if s.final {
			return now.Add(retryMost)
		}
		return now.Add(min(retryMost, retryFirst<<min(s.failures-1, 10)))
	case s.deletion() || ch.hurry > 0:
		return now
	}
	return ch.rested(s, now)
}

// rested is when a node has been left alone for long enough.
func (ch *changes) rested(s *dirtyKey, now time.Time) time.Time {
	n := s.node
	last := time.Unix(0, n.ctime)
	if last.After(now) {
		last = now
	}
	rest := ch.quiet
	if n.kind == pending.File && n.writers > 0 {
		rest = openRest
	}
	at := last.Add(rest)
	if sparing := n.sentAt.Add(time.Duration(n.sent) * time.Second / sparingRate); at.Before(sparing) {
		at = sparing
	}
	if most := s.since.Add(openMost); at.After(most) {
		at = most
	}
	return at
}

// changesBefore is the oldest change that is not in S3 and came before a deletion.
func (ch *changes) changesBefore(s *dirtyKey) *dirtyKey {
	if u := ch.uploads.min(); u != nil && u.order() < s.seq {
		return u
	}
	return nil
}

// recheck gives every dirty key that was blocked another chance.
func (ch *changes) recheck() { // with mu
	if len(ch.waiting) == 0 {
		return
	}
	for s := range ch.waiting {
		delete(ch.waiting, s)
		ch.unblockKey(s)
	}
	ch.wake()
}

// unblockKey gives a dirty key that was blocked another chance.
func (ch *changes) unblockKey(s *dirtyKey) {
	if s.blocked && ch.dirtyKeys[s.path] == s {
		s.blocked, s.awaitsDeletion = false, false
		ch.holdDeletions(s, time.Now())
		ch.ready.set(s)
		ch.wake()
	}
}

// awaitsEntries says that a marker's deletion waits for those of what is in its directory.
func (ch *changes) awaitsEntries(s *dirtyKey) bool {
	return s.deletion() && strings.HasSuffix(s.path, "/") && ch.deleting[s.path] > 0
}

// nameInUse says that something has to be deleted in S3 before a path can be there: a store whose keys are
// files cannot have "a" and "a/b".
func (ch *changes) nameInUse(path string) bool {
	p := strings.TrimSuffix(path, "/")
	if p != path && ch.beingDeleted(p) {
		return true
	}
	if p == path && (ch.beingDeleted(p+"/") || ch.deleting[p+"/"] > 0) {
		return true
	}
	for i := strings.LastIndexByte(p, '/'); i > 0; i = strings.LastIndexByte(p[:i], '/') {
		if ch.beingDeleted(p[:i]) {
			return true
		}
	}
	return false
}

func (ch *changes) beingDeleted(path string) bool {
	s := ch.dirtyKeys[path]
	return s != nil && s.deletion()
}

// holdDeletions puts a dirty key among those that deletions wait for, or takes it out.
func (ch *changes) holdDeletions(s *dirtyKey, now time.Time) {
	if s.holdsDeletions(now) {
		ch.uploads.set(s)
	} else {
		ch.uploads.remove(s)
	}
}

// countDeletion keeps, for each directory, how many deletions are pending below it.
func (ch *changes) countDeletion(path string, by int) {
	for i := strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/'); i >= 0; i = strings.LastIndexByte(path[:i], '/') {
		d := path[:i+1]
		if ch.deleting[d] += by; ch.deleting[d] == 0 {
			delete(ch.deleting, d)
			if s := ch.parked[d]; s != nil {
				delete(ch.parked, d)
				ch.unblockKey(s)
			}
		}
	}
}
