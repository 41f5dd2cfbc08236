package cold

import (
	"context"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// dirtyKey is a key whose object is not yet what the tree says. Its fields are guarded by core.mu.
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
	e.Kind, e.Mode, e.Mtime, e.Live, e.Synced = n.kind, uint32(n.mode), n.mtime, n.live, n.synced
	e.ModeGuessed, e.MtimeGuessed = !n.modeKnown, !n.mtimeKnown
	e.Data, e.Target = n.data, n.target
	if n.hasRemote() {
		e.Source = pending.Source{Path: n.source(), Version: n.remote()}
	}
	return e
}

// inherit has a dirty key stand for a change that was another dirty key's: a flush that waits for that waits for
// this one. Its own place in the order stays: a file that moved to where another has to be deleted
// first cannot go before that.
func (s *dirtyKey) inherit(first uint64) { s.first = min(s.first, first) }
