package cold

import (
	"maps"
	"slices"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// tx is a change of dirty keys that is in the journal as a whole, or did not happen.
type tx struct {
	in    *changes
	now   time.Time
	was   map[string]before
	undos []func()
}

// before is a dirty key as it was.
type before struct {
	key  *dirtyKey // nil: there was none
	copy dirtyKey
}

func (ch *changes) begin() *tx { // with mu
	return &tx{in: ch, now: time.Now(), was: map[string]before{}}
}

// undo registers what takes a change of the tree back when the journal refuses.
func (t *tx) undo(f func()) { t.undos = append(t.undos, f) }

func (t *tx) touch(path string) *dirtyKey {
	s := t.in.dirtyKeys[path]
	if _, ok := t.was[path]; !ok {
		b := before{key: s}
		if s != nil {
			b.copy = *s
		}
		t.was[path] = b
	}
	return s
}

// want says that node (nil: nothing) is to be at path, where S3 is believed to hold base unless a
// dirty key knows better.
func (t *tx) want(path string, n *node, base version) *dirtyKey {
	s := t.touch(path)
	switch {
	case s == nil:
		s = &dirtyKey{path: path, base: base}
		t.in.dirtyKeys[path] = s
		fallthrough
	case (s.node == nil) != (n == nil):
		t.in.seq++
		s.seq, s.first, s.since = t.in.seq, t.in.seq, t.now
		s.failing, s.renamed = time.Time{}, false
	}
	if s.node != n {
		if !s.running { // else its job does that, unless what it sends arrives and is of use
			t.in.abandon(path, s.uploadID)
		}
		s.node, s.uploadID = n, ""
		s.gen++
	}
	s.failures, s.err, s.final = 0, nil, false
	return s
}

// forget drops a dirty key: what it wanted is there, or wanted no longer.
func (t *tx) forget(path string) {
	if t.touch(path) != nil {
		delete(t.in.dirtyKeys, path)
	}
}

// commit writes the journal. With an error nothing has changed.
func (t *tx) commit() error {
	ch := t.in
	var b pending.Batch
	for _, path := range slices.Sorted(maps.Keys(t.was)) {
		s := ch.dirtyKeys[path]
		if s != nil && s.nothingToDo() {
			delete(ch.dirtyKeys, path)
			s = nil
		}
		if s != nil {
			b.Put = append(b.Put, s.entry())
		} else if t.was[path].key != nil {
			b.Remove = append(b.Remove, path)
		}
	}
	if len(b.Put)+len(b.Remove) > 0 {
		if err := ch.writeJournal(b); err != nil {
			t.rollback()
			return err
		}
	}
	for path, was := range t.was {
		t.settle(path, was)
	}
	ch.compact()
	ch.wake()
	return nil
}

func (t *tx) rollback() {
	for path, was := range t.was {
		if was.key == nil {
			delete(t.in.dirtyKeys, path)
			continue
		}
		*was.key = was.copy
		t.in.dirtyKeys[path] = was.key
	}
	for _, undo := range slices.Backward(t.undos) {
		undo()
	}
}

// settle puts a dirty key where the dispatcher finds it, and keeps the counts.
func (t *tx) settle(path string, was before) {
	ch, s := t.in, t.in.dirtyKeys[path]
	if was.key != nil {
		if was.copy.deletion() {
			ch.countDeletion(path, -1)
		}
		if n := was.copy.node; was.key.running && was.key.cancel != nil && n != nil && n.parent == nil && was.key.node != n {
			was.key.cancel() // what it sends is not wanted any more
		}
		if was.key != s {
			ch.ready.remove(was.key)
			ch.uploads.remove(was.key)
			ch.deletes.remove(was.key)
		}
	}
	if s == nil {
		ch.progressed()
		return
	}
	ch.deletes.remove(s)
	if s.deletion() {
		ch.countDeletion(path, 1)
	}
	if s.covered = false; s.node != nil && s.node.covered {
		s.node.own().covered = false
	}
	if !s.running {
		s.due, s.blocked, s.awaitsDeletion = ch.dueAt(s, t.now), false, false
		ch.ready.set(s)
	}
	ch.holdDeletions(s, t.now)
}
