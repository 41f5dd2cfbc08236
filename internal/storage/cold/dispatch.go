package cold

import (
	"time"
)

const (
	// jobs is how many requests that write run at a time. Small objects are bound by the
	// latency of each; large ones go in parts, several of them at a time by themselves.
	jobs = 16
)

// writeback brings dirty keys to S3, in their order.
type writeback struct {
	*worker
	working int // jobs
}

// worker is what a job works with.
type worker struct {
	*core
	tree      *tree
	changes   *changes
	contents  *contents
	databases *databases
	listings  *listings
}

func newWriteback(c *core, tr *tree, ch *changes, cs *contents, ls *listings) *writeback {
	return &writeback{worker: &worker{
		core: c, tree: tr, changes: ch, contents: cs, databases: &databases{core: c, changes: ch, contents: cs}, listings: ls,
	}}
}

// dispatch hands dirty keys to workers until the core is closed.
func (wb *writeback) dispatch() {
	defer wb.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wb.mu.Lock()
		next := wb.assign(time.Now())
		wb.mu.Unlock()
		timer.Reset(next)
		select {
		case <-wb.changes.awake:
		case <-timer.C:
		case <-wb.ctx.Done():
			return
		}
	}
}

// assign starts what may run and says how long nothing else will be due.
func (wb *writeback) assign(now time.Time) time.Duration {
	for wb.working < jobs && wb.ctx.Err() == nil {
		if s := wb.changes.deletes.min(); s != nil && wb.changes.changesBefore(s) == nil {
			wb.changes.deletes.remove(s)
			wb.runUnlessBlocked(s)
			continue
		}
		s := wb.changes.ready.min()
		if s == nil {
			return time.Hour
		}
		if wait := s.due.Sub(now); wait > 0 {
			return wait
		}
		wb.changes.ready.remove(s)
		if s.deletion() {
			wb.changes.deletes.set(s)
			continue
		}
		if at := wb.changes.rested(s, now); wb.changes.hurry == 0 && s.failures == 0 && at.After(now) {
			s.due = at // it was written to since it was queued
			wb.changes.ready.set(s)
			continue
		}
		wb.runUnlessBlocked(s)
	}
	return time.Hour // a worker that ends wakes us
}

func (wb *writeback) runUnlessBlocked(s *dirtyKey) {
	if wb.blocked(s) {
		s.blocked = true
		if wb.changes.awaitsEntries(s) && len(wb.changes.origins[s.path]) == 0 {
			wb.changes.parked[s.path] = s
			return
		}
		wb.changes.waiting[s] = struct{}{}
		s.awaitsDeletion = !s.deletion() && wb.changes.nameInUse(s.path)
		wb.changes.holdDeletions(s, time.Now()) // its place in the order may be another one now
		wb.unblock(s)
		return
	}
	if wb.databases.coverMember(s) {
		return
	}
	s.running = true
	if s.node != nil {
		s.node.own().jobs++
	}
	wb.working++
	n := s.node
	wb.background(func() {
		wb.process(s, n)
		wb.mu.Lock()
		if n != nil {
			n.own().jobs--
			wb.changes.slim(n)
		}
		wb.working--
		wb.changes.recheck()
		wb.changes.progressed()
		wb.mu.Unlock()
		wb.changes.wake()
	})
}

// blocked says that something else has to happen first.
func (wb *writeback) blocked(s *dirtyKey) bool {
	for n := range wb.changes.origins[s.path] {
		if n != s.node {
			return true // its content is only there
		}
	}
	if s.deletion() {
		return wb.changes.awaitsEntries(s) // also where a directory is an object
	}
	// One job at a time, when it was renamed while it went up.
	return s.node.jobs > 0 || wb.changes.nameInUse(s.path) || wb.awaitsDatabase(s)
}

// unblock brings here what keeps a dirty key from running when waiting for it would be waiting in a
// circle (two files that swap their names), or for ever (a file that was removed and is open).
func (wb *writeback) unblock(s *dirtyKey) {
	for n := range wb.changes.origins[s.path] {
		if n == s.node {
			continue
		}
		if n.parent == nil {
			wb.contents.localize(n)
			continue
		}
		if t := wb.changes.dirtyKeys[n.objectPath()]; t == nil || t != s && !t.running && wb.blocked(t) {
			wb.contents.localize(n)
		}
	}
}
