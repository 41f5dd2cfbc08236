package cold

import (
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

const (
	// jobs is how many requests that write run at a time. Small objects are bound by the
	// latency of each; large ones go in parts, several of them at a time by themselves.
	jobs = 16

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
func (fs *FS) wake() {
	select {
	case fs.awake <- struct{}{}:
	default:
	}
}

// progressed tells those who wait for dirty keys to go.
func (fs *FS) progressed() { // with mu
	close(fs.progress)
	fs.progress = make(chan struct{})
}

// dueAt is when a dirty key may be worked on.
func (fs *FS) dueAt(s *dirtyKey, now time.Time) time.Time {
	switch {
	case s.failures > 0:
		if s.final {
			return now.Add(retryMost)
		}
		return now.Add(min(retryMost, retryFirst<<min(s.failures-1, 10)))
	case s.deletion() || fs.hurry > 0:
		return now
	}
	return fs.rested(s, now)
}

// rested is when a node has been left alone for long enough.
func (fs *FS) rested(s *dirtyKey, now time.Time) time.Time {
	n := s.node
	last := time.Unix(0, n.ctime)
	if last.After(now) {
		last = now
	}
	rest := fs.quiet
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

// dispatch hands dirty keys to workers until the FS is closed.
func (fs *FS) dispatch() {
	defer fs.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		fs.mu.Lock()
		next := fs.assign(time.Now())
		fs.mu.Unlock()
		timer.Reset(next)
		select {
		case <-fs.awake:
		case <-timer.C:
		case <-fs.ctx.Done():
			return
		}
	}
}

// assign starts what may run and says how long nothing else will be due.
func (fs *FS) assign(now time.Time) time.Duration {
	for fs.working < jobs && fs.ctx.Err() == nil {
		if s := fs.deletes.min(); s != nil && fs.changesBefore(s) == nil {
			fs.deletes.remove(s)
			fs.runUnlessBlocked(s)
			continue
		}
		s := fs.ready.min()
		if s == nil {
			return time.Hour
		}
		if wait := s.due.Sub(now); wait > 0 {
			return wait
		}
		fs.ready.remove(s)
		if s.deletion() {
			fs.deletes.set(s)
			continue
		}
		if at := fs.rested(s, now); fs.hurry == 0 && s.failures == 0 && at.After(now) {
			s.due = at // it was written to since it was queued
			fs.ready.set(s)
			continue
		}
		fs.runUnlessBlocked(s)
	}
	return time.Hour // a worker that ends wakes us
}

// changesBefore is the oldest change that is not in S3 and came before a deletion.
func (fs *FS) changesBefore(s *dirtyKey) *dirtyKey {
	if u := fs.uploads.min(); u != nil && u.order() < s.seq {
		return u
	}
	return nil
}

func (fs *FS) runUnlessBlocked(s *dirtyKey) {
	if fs.blocked(s) {
		s.blocked = true
		if fs.awaitsEntries(s) && len(fs.origins[s.path]) == 0 {
			fs.parked[s.path] = s
			return
		}
		fs.waiting[s] = struct{}{}
		s.awaitsDeletion = !s.deletion() && fs.nameInUse(s.path)
		fs.holdDeletions(s, time.Now()) // its place in the order may be another one now
		fs.unblock(s)
		return
	}
	if fs.coverMember(s) {
		return
	}
	s.running = true
	if s.node != nil {
		s.node.own().jobs++
	}
	fs.working++
	n := s.node
	fs.background(func() {
		fs.process(s, n)
		fs.mu.Lock()
		if n != nil {
			n.own().jobs--
			fs.slim(n)
		}
		fs.working--
		fs.recheck()
		fs.progressed()
		fs.mu.Unlock()
		fs.wake()
	})
}

// recheck gives every dirty key that was blocked another chance.
func (fs *FS) recheck() { // with mu
	if len(fs.waiting) == 0 {
		return
	}
	for s := range fs.waiting {
		delete(fs.waiting, s)
		fs.unblockKey(s)
	}
	fs.wake()
}

// unblockKey gives a dirty key that was blocked another chance.
func (fs *FS) unblockKey(s *dirtyKey) {
	if s.blocked && fs.dirtyKeys[s.path] == s {
		s.blocked, s.awaitsDeletion = false, false
		fs.holdDeletions(s, time.Now())
		fs.ready.set(s)
		fs.wake()
	}
}

// awaitsEntries says that a marker's deletion waits for those of what is in its directory.
func (fs *FS) awaitsEntries(s *dirtyKey) bool {
	return s.deletion() && strings.HasSuffix(s.path, "/") && fs.deleting[s.path] > 0
}

// blocked says that something else has to happen first.
func (fs *FS) blocked(s *dirtyKey) bool {
	for n := range fs.origins[s.path] {
		if n != s.node {
			return true // its content is only there
		}
	}
	if s.deletion() {
		return fs.awaitsEntries(s) // also where a directory is an object
	}
	// One job at a time, when it was renamed while it went up.
	return s.node.jobs > 0 || fs.nameInUse(s.path) || fs.awaitsDatabase(s)
}

// nameInUse says that something has to be deleted in S3 before a path can be there: a store whose keys are
// files cannot have "a" and "a/b".
func (fs *FS) nameInUse(path string) bool {
	p := strings.TrimSuffix(path, "/")
	if p != path && fs.beingDeleted(p) {
		return true
	}
	if p == path && (fs.beingDeleted(p+"/") || fs.deleting[p+"/"] > 0) {
		return true
	}
	for i := strings.LastIndexByte(p, '/'); i > 0; i = strings.LastIndexByte(p[:i], '/') {
		if fs.beingDeleted(p[:i]) {
			return true
		}
	}
	return false
}

func (fs *FS) beingDeleted(path string) bool {
	s := fs.dirtyKeys[path]
	return s != nil && s.deletion()
}

// unblock brings here what keeps a dirty key from running when waiting for it would be waiting in a
// circle (two files that swap their names), or for ever (a file that was removed and is open).
func (fs *FS) unblock(s *dirtyKey) {
	for n := range fs.origins[s.path] {
		if n == s.node {
			continue
		}
		if n.parent == nil {
			fs.localize(n)
			continue
		}
		if t := fs.dirtyKeys[n.objectPath()]; t == nil || t != s && !t.running && fs.blocked(t) {
			fs.localize(n)
		}
	}
}
