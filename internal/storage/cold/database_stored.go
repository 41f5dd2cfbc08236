package cold

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// storedDatabase: S3 has the image that the attempt sent. The database's file stays as it is, and dirty.
func (j *job) storedDatabase(t *tx, v version) error {
	s, n, d := j.dirty, j.node, j.database
	remote, origin, patched := n.remote(), n.origin, n.patched
	t.undo(func() { n.setRemote(remote); n.own().patched = patched; j.changes.setOrigin(n, origin) })
	n.setRemote(v)
	n.own().patched = d.patched
	j.changes.setOrigin(n, "")
	n.checked = momentOf(t.now)
	if n.gen != j.gen || n.dataGen != j.dataGen || n.writing > 0 {
		s.failing = time.Time{}
		s.seq, s.first, s.since = j.began, j.began, t.now // what is left to do came after that
	}
	if err := t.commit(); err != nil {
		return err
	}
	j.contents.index.put(n)
	j.basedOn(v)
	n.own().coverage = d.coverage
	if n.gen == j.gen && n.dataGen == j.dataGen && n.writing == 0 {
		j.changes.cover(s)
	}
	for m := range d.coverage {
		j.storedMember(n, m, j.began, t.now)
	}
	return nil
}

// membersFollow has the members of a database that was called name follow it to its conflict copy's name: beside
// theirs they would be applied to that.
func (wk *worker) membersFollow(t *tx, b *node, members []*node, name string) {
	dir := b.parent.path()
	for _, m := range members {
		if !m.dirty() {
			continue // it is theirs as well
		}
		was, remote := m.name, m.remote()
		t.forget(join(dir, was))
		wk.changes.detach(m)
		wk.tree.attach(b.parent, b.name+strings.TrimPrefix(was, name), m)
		m.setRemote(version{})
		t.want(join(dir, m.name), m, version{})
		t.undo(func() { wk.changes.detach(m); wk.tree.attach(b.parent, was, m); m.setRemote(remote) })
	}
}

// storedMember notes that S3 has what a member of b had at a moment: what is left to do came after that.
func (wk *worker) storedMember(b, m *node, began uint64, now time.Time) {
	k := wk.changes.dirtyKeys[m.objectPathOrEmpty()]
	if k == nil || k.node != m || k.running || k.first >= began || k.hasObject() {
		return
	}
	if wk.databases.databaseOf(m) == b && wk.databases.covers(b, m) && wk.databases.coverMember(k) {
		return
	}
	k.seq, k.first, k.since, k.failing = began, began, now, time.Time{}
	wk.changes.holdDeletions(k, now)
}

// hasObject says that S3 has, or may have, an object at the key.
func (s *dirtyKey) hasObject() bool { return s.base.ETag != "" || len(s.writes) > 0 }

// errMemberTaken is why an object that would be applied to a database stays.
var errMemberTaken = errors.New("another client wrote this object, which SQLite would apply to the database that is stored beside it; remove it, or the database")

// removeMember removes the object of a member whose content is in the database's object. All of the member is
// here.
func (j *job) removeMember(ctx context.Context) outcome {
	if err := errors.Join(j.contents.bringHere(ctx, j.node), j.contents.fillAll(ctx, j.node)); err != nil {
		return outcome{err: err}
	}
	o := j.delete(ctx)
	if o.conflict {
		return outcome{err: fmt.Errorf("%w: %w", errMemberTaken, objectstore.ErrPrecondition)}
	}
	return o
}

// memberRemoved: S3 has no object of a member any more.
func (j *job) memberRemoved() error {
	t := j.changes.begin()
	s, n := t.touch(j.path), j.node
	if s != j.dirty || s.node != n {
		if s != nil {
			s.base, s.writes = version{}, nil
		}
		return t.commit()
	}
	remote := n.remote()
	t.undo(func() { n.setRemote(remote) })
	s.base, s.writes = version{}, nil
	n.setRemote(version{})
	return t.commit()
}
