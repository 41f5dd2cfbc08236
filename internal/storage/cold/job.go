package cold

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// job is one attempt to bring a dirty key's key to where the tree wants it: the dirty key and its node as
// they were when it began.
type job struct {
	*worker

	dirty *dirtyKey
	path  string
	key   string
	base  version

	node    *node // nil: a deletion
	keyGen  uint64
	gen     uint64
	dataGen uint64
	began   uint64 // changes.seq: what changed since has a higher one

	id   string   // of this write; sent with it
	ids  []string // of this write and those before it
	meta map[string]string

	body     io.ReaderAt
	size     int64
	snapshot *cache.Snapshot
	uploadID string
	begun    string // the multipart upload of this attempt

	copyFrom string // the key to copy; empty: the body goes up
	copyETag string

	cancel context.CancelFunc

	database *database // nil: it is none, or its file is all of it
	member   bool      // of a database, whose object has its content: its own object goes

	plan *objectstore.Plan // nil: all of the body goes up
	lack cache.Range       // what take lacked of what is to be sent
}

// outcome is what an attempt found.
type outcome struct {
	object objectstore.Object // what S3 has at the key now; no ETag: nothing
	err    error

	conflict bool // another client wrote the key: theirs stays
	vanished bool // the content was only in S3, and is not there any more
	torn     bool // a part of the content was only in S3, and is not there any more
	rebase   bool // S3 has something else than was believed, and it may be replaced
}

// process makes one attempt.
func (wb *writeback) process(s *dirtyKey, n *node) {
	ctx, cancel := context.WithCancel(wb.ctx)
	defer cancel()
	wb.mu.Lock()
	j := &job{worker: wb.worker, dirty: s, path: s.path, base: s.base, node: n, keyGen: s.gen, began: wb.changes.seq}
	j.cancel = cancel
	var o outcome
	var c *content
	if s.node != n {
		o.err = errChanged
	} else if j.node != nil && j.node.kind == pending.File {
		c, o.err = wb.contents.acquire(j.node)
		b := wb.databases.databaseOf(j.node)
		if j.member = b != nil; j.member && !wb.databases.covers(b, j.node) {
			o.err = errChanged
		}
		if members := wb.databases.countingMembers(j.node); !j.member && len(members) > 0 {
			j.database = &database{members: members}
		}
	}
	wb.mu.Unlock()
	if o.err == nil {
		j.key, o.err = keyOf(j.path)
	}
	if o.err == nil {
		j.key = wb.prefix + j.key
		if j.node == nil {
			o = j.delete(ctx)
		} else if j.member {
			o = j.removeMember(ctx)
		} else if o.err = j.prepare(ctx); o.err == nil {
			o = j.write(ctx)
		}
		o.torn = errors.Is(o.err, errTorn)
	}
	wb.mu.Lock()
	j.finish(o)
	wb.mu.Unlock()
	if j.snapshot != nil {
		j.snapshot.Close()
	}
	if j.database != nil {
		j.database.close(wb.core)
	}
	wb.mu.Lock()
	defer wb.mu.Unlock()
	if c != nil {
		c.release()
	}
}

// errChanged ends an attempt that has been overtaken by a change of the tree.
var errChanged = errors.New("it changed meanwhile")

// prepare takes what is to be written as it is now, and notes in the journal that a write with
// a new id is about to begin: an attempt that later finds that id at the key knows it for ours.
func (j *job) prepare(ctx context.Context) error {
	if err := j.contents.fetchAttrs(ctx, j.node); err != nil {
		return err
	}
	if j.database != nil {
		return j.prepareDatabase(ctx)
	}
	n := j.node
	if n.kind == pending.File {
		j.mu.Lock()
		bring := !n.dirty() && n.size > maxCopy && !j.contents.copiesInParts(n)
		j.mu.Unlock()
		if bring {
			if err := j.contents.bringHere(ctx, n); err != nil {
				return err
			}
		}
	}
	for {
		done, err := j.take()
		if done || err != nil {
			return err
		}
		// A part of the content is still only in S3.
		if err := n.content.fill(ctx, j.lack.Off, j.lack.End); err != nil {
			if errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrNotFound) {
				err = fmt.Errorf("%w (%w)", errTorn, err)
			}
			return err
		}
	}
}

// errTorn is a file of which only a part is here, while the rest was in a version that S3 has no longer.
var errTorn = errors.New("it was changed here in part, and its object was replaced or deleted by another client before the rest of it was here")

// take copies what the attempt needs out of the node, at one moment.
func (j *job) take() (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, n := j.dirty, j.node
	if s.gen != j.keyGen {
		return false, errChanged
	}
	if len(j.databases.countingMembers(n)) > 0 {
		return false, errChanged // it has become a database that is being written
	}
	j.takenAt()
	switch {
	case n.kind == pending.Dir:
		j.body = strings.NewReader("")
	case n.kind == pending.Symlink:
		j.body, j.size = strings.NewReader(n.target), int64(len(n.target))
	case n.dirty():
		snap, lack, err := n.content.file.Snapshot(func(size int64, changed []cache.Range, known bool) []cache.Range {
			return j.planUpload(size, changed, known)
		})
		if errors.Is(err, cache.ErrMissing) {
			j.lack = lack
			return false, nil
		}
		if err != nil {
			return false, err
		}
		j.snapshot, j.body, j.size = snap, snap, snap.Size()
		if err := j.checkHoles(); err != nil {
			return false, err
		}
	default:
		if err := j.planCopy(); err != nil {
			return false, err
		}
	}
	return true, j.beginWriteID()
}

// takenAt notes what the attempt takes. Changes from now on have a higher number, so that neither a deletion nor a
// sync from before waits for those that come while it is sent. With mu.
func (j *job) takenAt() {
	j.changes.seq++
	j.gen, j.dataGen, j.base, j.began = j.node.gen, j.node.dataGen, j.dirty.base, j.changes.seq
}

// beginWriteID notes in the journal that a write with a new id is about to begin, or the one that goes on. With
// mu.
func (j *job) beginWriteID() error {
	s, n := j.dirty, j.node
	if s.uploadID != "" && s.uploadGen == n.gen && len(s.writes) > 0 && j.plan == nil && j.database == nil && !composed(s.uploadID) {
		j.uploadID, j.id = s.uploadID, s.writes[len(s.writes)-1]
	} else {
		var b [16]byte
		rand.Read(b[:])
		j.id = hex.EncodeToString(b[:])
		s.writes = append(s.writes[max(0, len(s.writes)-maxWrites+1):], j.id)
		j.changes.abandon(j.path, s.uploadID)
		s.uploadID = ""
	}
	j.ids = s.writes
	j.meta = posixattr.Encode(n.attr(), j.id)
	for k, v := range n.foreign {
		if _, ours := j.meta[k]; !ours {
			j.meta[k] = v
		}
	}
	return j.changes.writeJournal(pending.Batch{Put: []pending.Entry{s.entry()}})
}

// maxWrites is how many ids of attempts are remembered: the newest.
const maxWrites = 16
