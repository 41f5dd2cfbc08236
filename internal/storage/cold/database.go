package cold

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
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

// database is what a job that stores a database has beside the database itself.
type database struct {
	members   []*node
	contents  []*content
	snapshots []*cache.Snapshot
	coverage  map[*node]uint64 // the content of each member, by its generation

	changed []cache.Range // of the database's file since the object that S3 has
	known   bool
	patched []cache.Range // of the image, and not of the database's file

	committed bool // the journal's transaction has ended
}

func (d *database) close(fs *FS) {
	for _, s := range d.snapshots {
		s.Close()
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, c := range d.contents {
		c.release()
	}
}

// prepareDatabase brings all of a database here, takes its files at one instant and puts the image together.
func (fs *FS) prepareDatabase(ctx context.Context, j *job) error {
	for _, n := range append([]*node{j.node}, j.database.members...) {
		if err := fs.bringHere(ctx, n); err != nil {
			return err
		}
		if err := fs.fillAll(ctx, n); err != nil {
			return err
		}
	}
	if err := fs.takeDatabase(j); err != nil {
		return err
	}
	image, err := j.image(ctx)
	if err != nil {
		return err
	}
	image.Patched(func(off, end int64) { j.database.patched = append(j.database.patched, cache.Range{Off: off, End: end}) })
	j.body, j.size = image, image.Size()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.planUpload(j, j.size, append(j.database.changed, j.database.patched...), j.database.known)
	return nil
}

// takeDatabase takes snapshots of a database's files while no write to any of them is under way.
func (fs *FS) takeDatabase(j *job) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, n := j.database, j.node
	if j.dirty.gen != j.keyGen || n.writing > 0 || !n.dirty() {
		return errChanged
	}
	fs.takenAt(j)
	d.coverage = map[*node]uint64{}
	var err error
	j.snapshot, _, err = n.content.file.Snapshot(func(size int64, changed []cache.Range, known bool) []cache.Range {
		d.changed, d.known = changed, known
		return []cache.Range{{Off: 0, End: size}}
	})
	if err != nil {
		return takeError(err)
	}
	for _, m := range d.members {
		if fs.databaseOf(m) != n || m.writing > 0 || m.jobs > 0 || !m.dirty() {
			return errChanged
		}
		c, err := fs.acquire(m)
		if err != nil {
			return err
		}
		d.contents = append(d.contents, c)
		snap, _, err := c.file.Snapshot(func(size int64, _ []cache.Range, _ bool) []cache.Range { return []cache.Range{{Off: 0, End: size}} })
		if err != nil {
			return takeError(err)
		}
		d.snapshots, d.coverage[m] = append(d.snapshots, snap), m.dataGen
		if m.name == n.name+sqlitefile.JournalSuffix {
			d.committed = fs.committed(snap, n.parent)
		}
	}
	if len(fs.countingMembers(n)) != len(d.members) {
		return errChanged // another has come
	}
	return fs.beginWriteID(j)
}

func takeError(err error) error {
	if errors.Is(err, cache.ErrMissing) {
		return errChanged // it was evicted, or truncated and extended, since it was brought here
	}
	return err
}

// committed tells whether the super-journal that a journal names is gone, which commits the transaction. Only
// the database's own directory is looked at: elsewhere the super-journal is taken for there.
func (fs *FS) committed(journal *cache.Snapshot, dir *node) bool {
	back, ok, err := sqlitefile.OpenRollback(journal, journal.Size())
	if err != nil || !ok {
		return false
	}
	super, err := back.SuperName()
	if err != nil || super == "" || filepath.Dir(super) != filepath.Join(fs.cfg.ColdPath, dir.path()) {
		return false
	}
	return dir.dir.child(filepath.Base(super)) == nil
}

// image puts the database together from the snapshots of its files.
func (j *job) image(ctx context.Context) (*sqlitefile.Image, error) {
	p := sqlitefile.Parts{DB: j.snapshot, Size: j.snapshot.Size()}
	for i, s := range j.database.snapshots {
		if p.Size == 0 {
			break // SQLite throws away what lies beside an empty database
		}
		if strings.HasSuffix(j.database.members[i].name, sqlitefile.JournalSuffix) {
			back, ok, err := sqlitefile.OpenRollback(s, s.Size())
			if err != nil {
				return nil, err
			}
			if ok && !j.database.committed {
				p.Back = back
			}
			continue
		}
		if err := addLog(ctx, &p, s); err != nil {
			return nil, err
		}
	}
	return sqlitefile.NewImage(ctx, p)
}

// addLog finds out how much of a log counts.
func addLog(ctx context.Context, p *sqlitefile.Parts, s *cache.Snapshot) error {
	h, err := sqlitefile.Head(s, sqlitefile.LogHeaderSize)
	if err != nil {
		return err
	}
	log, ok := sqlitefile.ParseLog(h)
	if !ok {
		return nil
	}
	p.Log, p.LogFile = log, s
	p.Frames, err = log.LastCommit(ctx, s, s.Size())
	return err
}

// storedDatabase: S3 has the image that the attempt sent. The database's file stays as it is, and dirty.
func (fs *FS) storedDatabase(t *tx, j *job, v version) error {
	s, n, d := j.dirty, j.node, j.database
	remote, origin, patched := n.remote, n.origin, n.patched
	t.undo(func() { n.remote, n.own().patched = remote, patched; fs.setOrigin(n, origin) })
	n.remote, n.own().patched = v, d.patched
	fs.setOrigin(n, "")
	n.checked = t.now
	if n.gen != j.gen || n.dataGen != j.dataGen || n.writing > 0 {
		s.failing = time.Time{}
		s.seq, s.first, s.since = j.began, j.began, t.now // what is left to do came after that
	}
	if err := t.commit(); err != nil {
		return err
	}
	fs.index.put(n)
	fs.basedOn(j, v)
	n.own().coverage = d.coverage
	if n.gen == j.gen && n.dataGen == j.dataGen && n.writing == 0 {
		fs.cover(s)
	}
	for m := range d.coverage {
		fs.storedMember(n, m, j.began, t.now)
	}
	return nil
}

// membersFollow has the members of a database that was called name follow it to its conflict copy's name: beside
// theirs they would be applied to that.
func (fs *FS) membersFollow(t *tx, b *node, members []*node, name string) {
	dir := b.parent.path()
	for _, m := range members {
		if !m.dirty() {
			continue // it is theirs as well
		}
		was, remote := m.name, m.remote
		t.forget(join(dir, was))
		fs.detach(m)
		fs.attach(b.parent, b.name+strings.TrimPrefix(was, name), m)
		m.remote = version{}
		t.want(join(dir, m.name), m, version{})
		t.undo(func() { fs.detach(m); fs.attach(b.parent, was, m); m.remote = remote })
	}
}

// storedMember notes that S3 has what a member of b had at a moment: what is left to do came after that.
func (fs *FS) storedMember(b, m *node, began uint64, now time.Time) {
	k := fs.dirtyKeys[m.objectPathOrEmpty()]
	if k == nil || k.node != m || k.running || k.first >= began || k.hasObject() {
		return
	}
	if fs.databaseOf(m) == b && fs.covers(b, m) && fs.coverMember(k) {
		return
	}
	k.seq, k.first, k.since, k.failing = began, began, now, time.Time{}
	fs.holdDeletions(k, now)
}

// hasObject says that S3 has, or may have, an object at the key.
func (s *dirtyKey) hasObject() bool { return s.base.ETag != "" || len(s.writes) > 0 }

// errMemberTaken is why an object that would be applied to a database stays.
var errMemberTaken = errors.New("another client wrote this object, which SQLite would apply to the database that is stored beside it; remove it, or the database")

// removeMember removes the object of a member whose content is in the database's object. All of the member is
// here.
func (fs *FS) removeMember(ctx context.Context, j *job) outcome {
	if err := errors.Join(fs.bringHere(ctx, j.node), fs.fillAll(ctx, j.node)); err != nil {
		return outcome{err: err}
	}
	o := fs.delete(ctx, j)
	if o.conflict {
		return outcome{err: fmt.Errorf("%w: %w", errMemberTaken, objectstore.ErrPrecondition)}
	}
	return o
}

// memberRemoved: S3 has no object of a member any more.
func (fs *FS) memberRemoved(j *job) error {
	t := fs.begin()
	s, n := t.touch(j.path), j.node
	if s != j.dirty || s.node != n {
		if s != nil {
			s.base, s.writes = version{}, nil
		}
		return t.commit()
	}
	remote := n.remote
	t.undo(func() { n.remote = remote })
	s.base, s.writes, n.remote = version{}, nil, version{}
	return t.commit()
}
