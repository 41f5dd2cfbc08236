package cold

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// finish takes an attempt's outcome into the tree. The dirty key goes when S3 has what the tree wants;
// else it is queued again, with what is known now of S3.
func (j *job) finish(o outcome) { // with mu
	s := j.dirty
	s.running, s.cancel = false, nil
	j.changes.ops++
	var err error
	switch {
	case j.member && o.err == nil:
		err = j.memberRemoved()
	case o.conflict:
		err = j.yield(o.object)
	case o.vanished:
		err = j.vanished(o.err)
	case o.torn && s.node == j.node && !strings.Contains(j.node.name, conflictMark):
		err = j.yield(o.object)
	case o.rebase:
		err = j.rebase(versionOf(o.object, o.object.Size))
	case o.err != nil:
		j.failed(o.err)
	default:
		err = j.stored(versionOf(o.object, j.size))
	}
	if err != nil { // of the journal: S3 is right, and what we know of it is not on disk yet
		j.failed(err)
	}
}

// stored: S3 has what the attempt sent.
func (j *job) stored(v version) error {
	n := j.node
	t := j.changes.begin()
	s := t.touch(j.path)
	s.base, s.writes, s.uploadID = v, nil, ""
	j.noteWritten()
	if n == nil {
		j.contents.index.drop(j.path)
		if s.gen == j.keyGen {
			t.forget(j.path)
		}
		return t.commit()
	}
	n.own().touched = j.changes.ops
	n.own().sent, n.own().sentAt = j.sent(), t.now
	if s.node != n || s.gen != j.keyGen {
		return j.storedElsewhere(t, v)
	}
	if j.database != nil {
		return j.storedDatabase(t, v)
	}
	// A write that is under way has marked neither yet; see files.beginWrite.
	sameData := n.dataGen == j.dataGen && n.writing == 0
	same := n.gen == j.gen && sameData
	data, live, remote, origin, patched := n.data, n.live, n.remote(), n.origin, n.patched
	t.undo(func() {
		n.own().data, n.own().live, n.own().patched = data, live, patched
		n.setRemote(remote)
		j.changes.setOrigin(n, origin)
	})
	if sameData {
		n.own().data, n.own().live = "", false
	}
	// What is missing of it, or was not changed since, is in the new version as well.
	n.setRemote(v)
	n.own().patched = nil
	j.changes.setOrigin(n, "")
	n.checked = momentOf(time.Now())
	if same {
		j.contents.index.put(n) // before the journal forgets the attributes
		t.forget(j.path)
	} else {
		s.failing = time.Time{}
		s.seq, s.first, s.since = j.began, j.began, t.now // what is left to do came after that
	}
	if err := t.commit(); err != nil {
		return err
	}
	// The journal speaks no longer of the dirty name when that goes.
	if sameData && data != "" {
		j.markClean(n, v)
	} else {
		j.basedOn(v)
	}
	if j.copyFrom != "" {
		j.cache.Rekey(cache.VersionID(j.copyFrom, j.copyETag, j.size), cache.VersionID(j.key, v.ETag, v.Size))
	}
	return nil
}

// markClean gives content that S3 has to the cache, to keep or to drop.
func (j *job) markClean(n *node, v version) {
	c := n.content
	c.moved(j.key, v)
	if err := c.file.MarkClean(cache.VersionID(j.key, v.ETag, v.Size)); err != nil {
		j.log.Warn("cached content could not be kept", "event", "cold_cache_clean", "error", err)
	}
}

// noteWritten keeps a listing that began before the write from undoing it.
func (j *job) noteWritten() {
	if j.node != nil {
		delete(j.changes.gone, j.path)
	} else if j.changes.listings > 0 {
		j.changes.gone[j.path] = j.changes.ops
	}
}

// parentOf finds the directory of a dirty key's path, when it is in the tree.
func (tr *tree) parentOf(path string) *node {
	n, rest := tr.root, strings.TrimSuffix(path, "/")
	for {
		name, below, more := strings.Cut(rest, "/")
		if !more {
			return n
		}
		n = n.dir.child(name)
		if n == nil || n.dir == nil {
			return nil
		}
		rest = below
	}
}

// rebase: S3 has another version than was believed, and it may be replaced.
func (j *job) rebase(v version) error {
	t := j.changes.begin()
	s := t.touch(j.path)
	s.base = v
	if j.node != nil && j.node.isDir() && v.ETag != "" && s.node == j.node {
		j.node.setRemote(v)
	}
	return t.commit()
}

// failed: the attempt has to be made again.
func (j *job) failed(err error) {
	if j.begun != j.dirty.uploadID || j.changes.dirtyKeys[j.path] != j.dirty {
		j.changes.abandon(j.path, j.begun)
	}
	s := j.dirty
	if j.changes.dirtyKeys[j.path] != s {
		return
	}
	again := errors.Is(err, errChanged) || errors.Is(err, cache.ErrSnapshot) || errors.Is(err, objectstore.ErrChecksum) ||
		errors.Is(err, context.Canceled) && j.ctx.Err() == nil
	if !again {
		if s.failures++; s.failing.IsZero() {
			s.failing = time.Now()
		}
		first := s.err == nil
		s.err, s.final = err, lasting(err)
		level := j.log.Info
		if s.final && first {
			level = j.log.Warn
		}
		level("a change of the cold path is not in S3 yet", "event", "cold_pending", "path", j.path, "error", err, "failures", s.failures)
	}
	j.changes.holdDeletions(s, time.Now())
	s.due = j.changes.dueAt(s, time.Now())
	j.changes.ready.set(s)
}

// lasting says that an error does not pass by itself.
func lasting(err error) bool {
	for _, e := range []error{
		objectstore.ErrAccessDenied, objectstore.ErrNoBucket, objectstore.ErrWrongRegion, objectstore.ErrBadCredentials,
		objectstore.ErrExpiredCredentials, objectstore.ErrTooLarge, objectstore.ErrInvalid, objectstore.ErrUnsupported,
		objectstore.ErrEndpoint, lease.ErrLost, errTorn, errHoles,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// yield: another client wrote the key. Theirs keeps it; ours gets another name beside it.
func (j *job) yield(theirs objectstore.Object) error {
	t := j.changes.begin()
	s := t.touch(j.path)
	n := j.node
	if n == nil || s.node != n {
		if s.node == nil { // a deletion: theirs stays
			t.forget(j.path)
			j.tree.expire(j.tree.parentOf(j.path))
			j.log.Info("a file was changed in S3 while it was deleted here; theirs stays", "event", "cold_conflict", "path", j.path)
		} else {
			s.base = versionOf(theirs, theirs.Size)
		}
		return t.commit()
	}
	parent, name := n.parent, n.name
	dirPath := strings.TrimSuffix(j.path, name)
	ours := j.contents.conflictName(parent, name)
	members := j.databases.countingMembers(n)
	if !n.dirty() && n.origin == "" {
		// Only its attributes were changed, and theirs has its own.
		t.forget(j.path)
		j.listings.displace(n)
		t.undo(func() { j.tree.attach(parent, name, n); n.own().displaced, n.own().displacedDir = "", nil })
	} else {
		t.forget(j.path)
		j.changes.detach(n)
		j.tree.attach(parent, ours, n)
		t.want(dirPath+ours, n, version{}).inherit(s.first)
		t.undo(func() { j.changes.detach(n); j.tree.attach(parent, name, n) })
		j.membersFollow(t, n, members, name)
		j.log.Warn("another client changed the object of a file that was changed here; the file of this sandbox is kept under another name",
			"event", "cold_conflict", "path", j.path, "kept_as", dirPath+ours)
	}
	if err := t.commit(); err != nil {
		return err
	}
	j.tree.expire(parent)
	j.tree.notifyEntry(parent, name)
	j.tree.notifyEntry(parent, ours)
	for _, m := range members {
		j.tree.notifyEntry(parent, name+strings.TrimPrefix(m.name, ours))
		j.tree.notifyEntry(parent, m.name)
	}
	return nil
}

// vanished: a renamed file's content was still to be copied, and another client changed or
// removed it. What was read of it may be here.
func (j *job) vanished(why error) error {
	n := j.node
	if n.content != nil && n.content.file.Whole() {
		j.contents.localize(n)
		j.failed(errChanged)
		return nil
	}
	j.log.Warn("a file that was renamed or had its attributes changed here was replaced or removed in S3 before that could be done there; it is as it is in S3",
		"event", "cold_conflict", "path", j.path, "error", why)
	t := j.changes.begin()
	t.forget(j.path)
	parent, name := n.parent, n.name
	if parent != nil && j.dirty.node == n {
		j.changes.detach(n)
		t.undo(func() { j.tree.attach(parent, name, n) })
	}
	if err := t.commit(); err != nil {
		return err
	}
	n.stale = true
	j.changes.setOrigin(n, "")
	j.tree.expire(parent)
	if parent != nil {
		j.tree.notifyEntry(parent, name)
	}
	return nil
}
