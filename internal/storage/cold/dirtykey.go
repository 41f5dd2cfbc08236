package cold

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// dirtyKey is a key whose object is not yet what the tree says. Its fields are guarded by FS.mu.
type dirtyKey struct {
	path  string // of the object below the root; a directory's marker ends in "/"
	seq   uint64 // of the oldest change that S3 does not have
	first uint64 // the same, also when that change was made under another name
	since time.Time
	base  version // what S3 holds, as far as is known

	writes    []string // ids of writes that may have arrived
	uploadID  string   // of a multipart upload of the node's content of uploadGen
	uploadGen uint64

	node    *node  // what is to be there; nil: nothing
	gen     uint64 // of node
	renamed bool   // node had another path: S3 may have it there, and here something else

	due      time.Time
	running  bool
	cancel   context.CancelFunc // of a running job while it may be broken off
	failures int
	failing  time.Time // since when; zero: it has not failed
	err      error     // why it is not there yet
	final    bool      // err will not pass by itself

	inReady, inUploads, inDeletes int // places in the heaps
	blocked                       bool
	covered                       bool // S3 has it in a database's object; see database.go
	awaitsDeletion                bool // blocked by one: its name is in use in S3
}

// order is the dirty key's place in the order in which changes go to S3. A file keeps the place of its oldest
// change when it is renamed; unless its new name has to be freed by a deletion that is younger.
func (s *dirtyKey) order() uint64 {
	if s.awaitsDeletion || s.deletion() {
		return s.seq
	}
	return s.first
}

func (s *dirtyKey) deletion() bool { return s.node == nil }

// holdMost is how long a change that fails holds deletions back.
const holdMost = 10 * time.Minute

// holdsDeletions says that deletions of what was there before the change wait for it: what is deleted may
// be what the change replaces, as when git packs its objects anew. A path of which S3 has a whole version
// replaces nothing but that version. Nothing holds deletions for ever.
func (s *dirtyKey) holdsDeletions(now time.Time) bool {
	switch {
	case s.deletion() || s.final || s.covered:
		return false
	case s.failing.IsZero():
		return true
	}
	return (s.base.ETag == "" || s.renamed) && now.Sub(s.failing) < holdMost
}

// nothingToDo says that S3 has nothing and is to have nothing.
func (s *dirtyKey) nothingToDo() bool {
	return s.node == nil && s.base.ETag == "" && len(s.writes) == 0 && !s.running
}

// entry is what the journal keeps of the dirty key.
func (s *dirtyKey) entry() pending.Entry {
	e := pending.Entry{
		Path: s.path, Seq: s.seq, Since: s.since.UnixNano(), Base: s.base,
		Writes: s.writes, UploadID: s.uploadID,
	}
	n := s.node
	if n == nil {
		return e
	}
	e.Kind, e.Mode, e.Mtime, e.Live, e.Synced = n.kind, n.mode, n.mtime, n.live, n.synced
	e.ModeGuessed, e.MtimeGuessed = !n.modeKnown, !n.mtimeKnown
	e.Data, e.Target = n.data, n.target
	if n.remote.ETag != "" {
		e.Source = pending.Source{Path: n.source(), Version: n.remote}
	}
	return e
}

// tx is a change of dirty keys that is in the journal as a whole, or did not happen.
type tx struct {
	fs    *FS
	now   time.Time
	was   map[string]before
	undos []func()
}

// before is a dirty key as it was.
type before struct {
	key  *dirtyKey // nil: there was none
	copy dirtyKey
}

func (fs *FS) begin() *tx { // with mu
	return &tx{fs: fs, now: time.Now(), was: map[string]before{}}
}

// undo registers what takes a change of the tree back when the journal refuses.
func (t *tx) undo(f func()) { t.undos = append(t.undos, f) }

func (t *tx) touch(path string) *dirtyKey {
	s := t.fs.dirtyKeys[path]
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
		t.fs.dirtyKeys[path] = s
		fallthrough
	case (s.node == nil) != (n == nil):
		t.fs.seq++
		s.seq, s.first, s.since = t.fs.seq, t.fs.seq, t.now
		s.failing, s.renamed = time.Time{}, false
	}
	if s.node != n {
		if !s.running { // else its job does that, unless what it sends arrives and is of use
			t.fs.abandon(path, s.uploadID)
		}
		s.node, s.uploadID = n, ""
		s.gen++
	}
	s.failures, s.err, s.final = 0, nil, false
	return s
}

// inherit has a dirty key stand for a change that was another dirty key's: a flush that waits for that waits for
// this one. Its own place in the order stays: a file that moved to where another has to be deleted
// first cannot go before that.
func (s *dirtyKey) inherit(first uint64) { s.first = min(s.first, first) }

// forget drops a dirty key: what it wanted is there, or wanted no longer.
func (t *tx) forget(path string) {
	if t.touch(path) != nil {
		delete(t.fs.dirtyKeys, path)
	}
}

// commit writes the journal. With an error nothing has changed.
func (t *tx) commit() error {
	fs := t.fs
	var b pending.Batch
	for _, path := range slices.Sorted(maps.Keys(t.was)) {
		s := fs.dirtyKeys[path]
		if s != nil && s.nothingToDo() {
			delete(fs.dirtyKeys, path)
			s = nil
		}
		if s != nil {
			b.Put = append(b.Put, s.entry())
		} else if t.was[path].key != nil {
			b.Remove = append(b.Remove, path)
		}
	}
	if len(b.Put)+len(b.Remove) > 0 {
		if err := fs.writeJournal(b); err != nil {
			t.rollback()
			return err
		}
	}
	for path, was := range t.was {
		t.settle(path, was)
	}
	fs.compact()
	fs.wake()
	return nil
}

// writeJournal has the journal know a batch. With mu.
func (fs *FS) writeJournal(b pending.Batch) error {
	return fs.cache.WithRoom(func() error { return fs.journal.Apply(b, len(fs.dirtyKeys)) })
}

func (t *tx) rollback() {
	for path, was := range t.was {
		if was.key == nil {
			delete(t.fs.dirtyKeys, path)
			continue
		}
		*was.key = was.copy
		t.fs.dirtyKeys[path] = was.key
	}
	for _, undo := range slices.Backward(t.undos) {
		undo()
	}
}

// settle puts a dirty key where the dispatcher finds it, and keeps the counts.
func (t *tx) settle(path string, was before) {
	fs, s := t.fs, t.fs.dirtyKeys[path]
	if was.key != nil {
		if was.copy.deletion() {
			fs.countDeletion(path, -1)
		}
		if n := was.copy.node; was.key.running && was.key.cancel != nil && n != nil && n.parent == nil && was.key.node != n {
			was.key.cancel() // what it sends is not wanted any more
		}
		if was.key != s {
			fs.ready.remove(was.key)
			fs.uploads.remove(was.key)
			fs.deletes.remove(was.key)
		}
	}
	if s == nil {
		fs.progressed()
		return
	}
	fs.deletes.remove(s)
	if s.deletion() {
		fs.countDeletion(path, 1)
	}
	if s.covered = false; s.node != nil && s.node.covered {
		s.node.own().covered = false
	}
	if !s.running {
		s.due, s.blocked, s.awaitsDeletion = fs.dueAt(s, t.now), false, false
		fs.ready.set(s)
	}
	fs.holdDeletions(s, t.now)
}

// holdDeletions puts a dirty key among those that deletions wait for, or takes it out.
func (fs *FS) holdDeletions(s *dirtyKey, now time.Time) {
	if s.holdsDeletions(now) {
		fs.uploads.set(s)
	} else {
		fs.uploads.remove(s)
	}
}

// countDeletion keeps, for each directory, how many deletions are pending below it.
func (fs *FS) countDeletion(path string, by int) {
	for i := strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/'); i >= 0; i = strings.LastIndexByte(path[:i], '/') {
		d := path[:i+1]
		if fs.deleting[d] += by; fs.deleting[d] == 0 {
			delete(fs.deleting, d)
			if s := fs.parked[d]; s != nil {
				delete(fs.parked, d)
				fs.unblockKey(s)
			}
		}
	}
}

// compactMost is how many entries are written at a time, and so how long mu is held.
const compactMost = 256

// compact has the journal written anew when most of it is history.
func (fs *FS) compact() {
	if fs.compacting || !fs.journal.Wasteful() {
		return
	}
	fs.compacting = true
	fs.background(func() {
		err := fs.rewriteJournal()
		fs.mu.Lock()
		fs.compacting = false
		fs.mu.Unlock()
		if err != nil && fs.ctx.Err() == nil {
			fs.log.Warn("the cold path's journal goes on growing", "event", "cold_journal_compact", "error", err)
		}
	})
}

func (fs *FS) rewriteJournal() error {
	c, err := fs.journal.BeginCompact()
	if err != nil {
		return err
	}
	fs.mu.Lock()
	paths := slices.Collect(maps.Keys(fs.dirtyKeys))
	fs.mu.Unlock()
	for part := range slices.Chunk(paths, compactMost) {
		fs.mu.Lock()
		entries := make([]pending.Entry, 0, len(part))
		for _, path := range part {
			if s := fs.dirtyKeys[path]; s != nil {
				entries = append(entries, s.entry())
			}
		}
		err := c.Add(entries)
		fs.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return c.End()
}

// setOrigin says where a node's remote content is; "" is its own path.
func (fs *FS) setOrigin(n *node, path string) {
	if n.origin == path {
		return
	}
	if n.origin != "" {
		if set := fs.origins[n.origin]; set != nil {
			delete(set, n)
			if len(set) == 0 {
				delete(fs.origins, n.origin)
			}
		}
		fs.recheck()
	}
	n.own().origin = path
	if path != "" {
		if fs.origins[path] == nil {
			fs.origins[path] = map[*node]struct{}{}
		}
		fs.origins[path][n] = struct{}{}
	}
}
