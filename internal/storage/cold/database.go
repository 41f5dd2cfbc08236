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

// databaseOf is the database that a file belongs to; nil: to none. With mu.
func (fs *FS) databaseOf(n *node) *node {
	base, ok := sqlitefile.Base(n.name)
	if !ok || n.parent == nil || n.kind != pending.File {
		return nil
	}
	b := n.parent.dir.child(base)
	if b == nil || b.kind != pending.File || !fs.isDatabase(b) {
		return nil
	}
	return b
}

// isDatabase tells by the headers that are here: its own, or that of a log or a journal beside it, since an
// encrypted database has no header.
func (fs *FS) isDatabase(b *node) bool {
	return sqlitefile.IsDatabase(fs.header(b)) || len(fs.countingMembers(b)) > 0
}

// members are the files beside a database that belong to it by their names.
func (fs *FS) members(b *node) (all []*node) {
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
func (fs *FS) countingMembers(b *node) (counting []*node) {
	for _, m := range fs.members(b) {
		if fs.counts(m) {
			counting = append(counting, m)
		}
	}
	return counting
}

func (fs *FS) counts(m *node) bool {
	return !strings.HasSuffix(m.name, sqlitefile.IndexSuffix) && sqlitefile.IsLog(fs.header(m))
}

// header is the beginning of a file's content, as far as it is here.
func (fs *FS) header(n *node) []byte {
	if n.size < sqlitefile.HeaderSize {
		return nil
	}
	c, err := fs.acquire(n)
	if err != nil {
		return nil
	}
	defer c.release()
	b := make([]byte, sqlitefile.HeaderSize)
	got, _ := c.file.ReadAt(b, 0) // what is not here is no header
	return b[:got]
}

// covers says that S3 has what a member has, in the database's object, or that nothing in it counts.
func (fs *FS) covers(b, m *node) bool {
	s, own := fs.dirtyKeys[b.objectPath()], fs.dirtyKeys[m.objectPath()]
	if fs.counts(m) {
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
func (fs *FS) awaitsDatabase(s *dirtyKey) bool {
	b := fs.databaseOf(s.node)
	if b == nil || fs.covers(b, s.node) {
		return false
	}
	if k := fs.dirtyKeys[b.objectPath()]; k != nil {
		fs.uncover(b)
		if s.final = k.final; k.final { // a flush must not wait for it in vain
			s.err, s.failures = k.err, k.failures
		}
		return true
	}
	t := fs.begin()
	t.want(b.objectPath(), b, b.remote)
	if err := t.commit(); err != nil {
		fs.log.Info("a database will be stored when the disk has room for the journal", "event", "cold_journal", "path", b.objectPath(), "error", err)
		fs.recheckLater()
	}
	return true
}

// recheckLater gives every dirty key that was blocked another chance after a pause.
func (fs *FS) recheckLater() {
	fs.background(func() {
		later := time.NewTimer(retryFirst)
		defer later.Stop()
		select {
		case <-later.C:
		case <-fs.ctx.Done():
			return
		}
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.recheck()
	})
}

// coverMember ends the wait of a member of which S3 has no object and needs none.
func (fs *FS) coverMember(s *dirtyKey) bool {
	if s.deletion() || s.hasObject() || fs.databaseOf(s.node) == nil {
		return false
	}
	fs.cover(s)
	return true
}

func (fs *FS) cover(s *dirtyKey) {
	s.covered, s.node.own().covered = true, true
	s.failures, s.err, s.final, s.failing = 0, nil, false, time.Time{}
	s.blocked = false
	delete(fs.waiting, s)
	fs.ready.remove(s)
	fs.holdDeletions(s, time.Now())
	fs.progressed()
}

// uncover queues the dirty key of a covered file again: what S3 has is not its content any more.
func (fs *FS) uncover(n *node) {
	if !n.covered {
		return
	}
	n.own().covered = false
	if n.parent == nil {
		return
	}
	s := fs.dirtyKeys[n.objectPath()]
	if s == nil || s.node != n || !s.covered {
		return
	}
	now := time.Now()
	fs.seq++
	s.covered = false
	s.seq, s.first, s.since = fs.seq, fs.seq, now
	s.due = fs.dueAt(s, now)
	fs.ready.set(s)
	fs.holdDeletions(s, now)
	fs.wake()
}

// leavesDatabase has what stays of a database judged anew when one of its files goes.
func (fs *FS) leavesDatabase(n *node) {
	if n.parent == nil || n.kind != pending.File {
		return
	}
	for _, m := range fs.members(n) {
		fs.uncover(m)
	}
	if base, ok := sqlitefile.Base(n.name); ok && n.covered {
		if b := n.parent.dir.child(base); b != nil {
			fs.uncover(b)
		}
	}
	if n.covered {
		n.own().covered = false
	}
}
