package cold

import (
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// The files of an SQLite database are only right together, and S3 has no write of two objects at once. So the
// object of a database is the database with its log applied, or with its journal rolled back, and its members
// (-wal, -journal, -shm) have no objects. Every write to them goes through this process: a moment at which none
// is under way is an instant, and the files as they are then are what a process that was killed then would
// leave. SQLite recovers from that by design, so its locks are not needed.
//
// While a member has content that counts, the database stays dirty: its object is not what is in its file. A
// dirty key of a database or of a member is covered when S3 has the image of their content. It stays in the
// journal, so that a process that takes over finds all of the files, and is queued again with the next change.

// databases tells which files are a database's.
type databases struct {
	*core
	changes  *changes
	contents *contents
}

// databaseOf is the database that a file belongs to; nil: to none. With mu.
func (ds *databases) databaseOf(n *node) *node {
	base, ok := sqlitefile.Base(n.name)
	if !ok || n.parent == nil || n.kind != pending.File {
		return nil
	}
	b := n.parent.dir.child(base)
	if b == nil || b.kind != pending.File || !ds.isDatabase(b) {
		return nil
	}
	return b
}

// isDatabase tells by the headers that are here: its own, or that of a log or a journal beside it, since an
// encrypted database has no header.
func (ds *databases) isDatabase(b *node) bool {
	return sqlitefile.IsDatabase(ds.header(b)) || len(ds.countingMembers(b)) > 0
}

// members are the files beside a database that belong to it by their names.
func (ch *changes) members(b *node) (all []*node) {
	if b.parent == nil || b.kind != pending.File {
		return nil
	}
	for _, suffix := range sqlitefile.Suffixes {
		if m := b.parent.dir.child(b.name + suffix); m != nil && m.kind == pending.File {
			all = append(all, m)
		}
	}
	return all
}

// countingMembers are those whose content SQLite would apply to the database.
func (ds *databases) countingMembers(b *node) (counting []*node) {
	for _, m := range ds.changes.members(b) {
		if ds.counts(m) {
			counting = append(counting, m)
		}
	}
	return counting
}

func (ds *databases) counts(m *node) bool {
	return !strings.HasSuffix(m.name, sqlitefile.IndexSuffix) && sqlitefile.IsLog(ds.header(m))
}

// header is the beginning of a file's content, as far as it is here.
func (ds *databases) header(n *node) []byte {
	if n.size < sqlitefile.HeaderSize {
		return nil
	}
	c, err := ds.contents.acquire(n)
	if err != nil {
		return nil
	}
	defer c.release()
	b := make([]byte, sqlitefile.HeaderSize)
	got, _ := c.file.ReadAt(b, 0) // what is not here is no header
	return b[:got]
}

// covers says that S3 has what a member has, in the database's object, or that nothing in it counts.
func (ds *databases) covers(b, m *node) bool {
	s, own := ds.changes.dirtyKeys[b.objectPath()], ds.changes.dirtyKeys[m.objectPath()]
	if ds.counts(m) {
		if own != nil && own.hasObject() { // an image has been stored: what it has is not needed any more
			_, stored := b.coverage[m]
			return stored
		}
		return s != nil && s.covered && b.coverage[m] == m.dataGen && m.writing == 0
	}
	// An object at the member's key goes when the database's is right without it.
	return own == nil || !own.hasObject() || s == nil || s.covered
}

// awaitsDatabase says that a member waits until the database's object has its content, and sees to that.
func (wb *writeback) awaitsDatabase(s *dirtyKey) bool {
	b := wb.databases.databaseOf(s.node)
	if b == nil || wb.databases.covers(b, s.node) {
		return false
	}
	if k := wb.changes.dirtyKeys[b.objectPath()]; k != nil {
		wb.changes.uncover(b)
		if s.final = k.final; k.final { // a flush must not wait for it in vain
			s.err, s.failures = k.err, k.failures
		}
		return true
	}
	t := wb.changes.begin()
	t.want(b.objectPath(), b, b.remote())
	if err := t.commit(); err != nil {
		wb.log.Info("a database will be stored when the disk has room for the journal", "event", "cold_journal", "path", b.objectPath(), "error", err)
		wb.recheckLater()
	}
	return true
}

// recheckLater gives every dirty key that was blocked another chance after a pause.
func (wb *writeback) recheckLater() {
	wb.background(func() {
		later := time.NewTimer(retryFirst)
		defer later.Stop()
		select {
		case <-later.C:
		case <-wb.ctx.Done():
			return
		}
		wb.mu.Lock()
		defer wb.mu.Unlock()
		wb.changes.recheck()
	})
}

// coverMember ends the wait of a member of which S3 has no object and needs none.
func (ds *databases) coverMember(s *dirtyKey) bool {
	if s.deletion() || s.hasObject() || ds.databaseOf(s.node) == nil {
		return false
	}
	ds.changes.cover(s)
	return true
}

func (ch *changes) cover(s *dirtyKey) {
	s.covered, s.node.own().covered = true, true
	s.failures, s.err, s.final, s.failing = 0, nil, false, time.Time{}
	s.blocked = false
	delete(ch.waiting, s)
	ch.ready.remove(s)
	ch.holdDeletions(s, time.Now())
	ch.progressed()
}

// uncover queues the dirty key of a covered file again: what S3 has is not its content any more.
func (ch *changes) uncover(n *node) {
	if !n.covered {
		return
	}
	n.own().covered = false
	if n.parent == nil {
		return
	}
	s := ch.dirtyKeys[n.objectPath()]
	if s == nil || s.node != n || !s.covered {
		return
	}
	now := time.Now()
	ch.seq++
	s.covered = false
	s.seq, s.first, s.since = ch.seq, ch.seq, now
	s.due = ch.dueAt(s, now)
	ch.ready.set(s)
	ch.holdDeletions(s, now)
	ch.wake()
}

// leavesDatabase has what stays of a database judged anew when one of its files goes.
func (ch *changes) leavesDatabase(n *node) {
	if n.parent == nil || n.kind != pending.File {
		return
	}
	for _, m := range ch.members(n) {
		ch.uncover(m)
	}
	if base, ok := sqlitefile.Base(n.name); ok && n.covered {
		if b := n.parent.dir.child(base); b != nil {
			ch.uncover(b)
		}
	}
	if n.covered {
		n.own().covered = false
	}
}
