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
	dirty *dirtyKey
	path  string
	key   string
	base  version

	node    *node // nil: a deletion
	keyGen  uint64
	gen     uint64
	dataGen uint64
	began   uint64 // FS.seq: what changed since has a higher one

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
func (fs *FS) process(s *dirtyKey, n *node) {
	ctx, cancel := context.WithCancel(fs.ctx)
	defer cancel()
	fs.mu.Lock()
	j := &job{dirty: s, path: s.path, base: s.base, node: n, keyGen: s.gen, began: fs.seq}
	j.cancel = cancel
	var o outcome
	var c *content
	if s.node != n {
		o.err = errChanged
	} else if j.node != nil && j.node.kind == pending.File {
		c, o.err = fs.acquire(j.node)
		b := fs.databaseOf(j.node)
		if j.member = b != nil; j.member && !fs.covers(b, j.node) {
			o.err = errChanged
		}
		if members := fs.countingMembers(j.node); !j.member && len(members) > 0 {
			j.database = &database{members: members}
		}
	}
	fs.mu.Unlock()
	if o.err == nil {
		j.key, o.err = keyOf(j.path)
	}
	if o.err == nil {
		j.key = fs.prefix + j.key
		if j.node == nil {
			o = fs.delete(ctx, j)
		} else if j.member {
			o = fs.removeMember(ctx, j)
		} else if o.err = fs.prepare(ctx, j); o.err == nil {
			o = fs.write(ctx, j)
		}
		o.torn = errors.Is(o.err, errTorn)
	}
	fs.mu.Lock()
	fs.finish(j, o)
	fs.mu.Unlock()
	if j.snapshot != nil {
		j.snapshot.Close()
	}
	if j.database != nil {
		j.database.close(fs)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if c != nil {
		c.release()
	}
}

// errChanged ends an attempt that has been overtaken by a change of the tree.
var errChanged = errors.New("it changed meanwhile")

// prepare takes what is to be written as it is now, and notes in the journal that a write with
// a new id is about to begin: an attempt that later finds that id at the key knows it for ours.
func (fs *FS) prepare(ctx context.Context, j *job) error {
	if err := fs.fetchAttrs(ctx, j.node); err != nil {
		return err
	}
	if j.database != nil {
		return fs.prepareDatabase(ctx, j)
	}
	n := j.node
	if n.kind == pending.File {
		fs.mu.Lock()
		bring := !n.dirty() && n.size > objectstore.MaxCopy && !fs.copiesInParts(n)
		fs.mu.Unlock()
		if bring {
			if err := fs.bringHere(ctx, n); err != nil {
				return err
			}
		}
	}
	for {
		done, err := fs.take(j)
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
func (fs *FS) take(j *job) (bool, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	s, n := j.dirty, j.node
	if s.gen != j.keyGen {
		return false, errChanged
	}
	if len(fs.countingMembers(n)) > 0 {
		return false, errChanged // it has become a database that is being written
	}
	fs.takenAt(j)
	switch {
	case n.kind == pending.Dir:
		j.body = strings.NewReader("")
	case n.kind == pending.Symlink:
		j.body, j.size = strings.NewReader(n.target), int64(len(n.target))
	case n.dirty():
		snap, lack, err := n.content.file.Snapshot(func(size int64, changed []cache.Range, known bool) []cache.Range {
			return fs.planUpload(j, size, changed, known)
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
		if err := fs.planCopy(j); err != nil {
			return false, err
		}
	}
	return true, fs.beginWriteID(j)
}

// takenAt notes what the attempt takes. Changes from now on have a higher number, so that neither a deletion nor a
// sync from before waits for those that come while it is sent. With mu.
func (fs *FS) takenAt(j *job) {
	fs.seq++
	j.gen, j.dataGen, j.base, j.began = j.node.gen, j.node.dataGen, j.dirty.base, fs.seq
}

// beginWriteID notes in the journal that a write with a new id is about to begin, or the one that goes on. With
// mu.
func (fs *FS) beginWriteID(j *job) error {
	s, n := j.dirty, j.node
	if s.uploadID != "" && s.uploadGen == n.gen && len(s.writes) > 0 && j.plan == nil && j.database == nil && !composed(s.uploadID) {
		j.uploadID, j.id = s.uploadID, s.writes[len(s.writes)-1]
	} else {
		var b [16]byte
		rand.Read(b[:])
		j.id = hex.EncodeToString(b[:])
		s.writes = append(s.writes[max(0, len(s.writes)-maxWrites+1):], j.id)
		fs.abandon(j.path, s.uploadID)
		s.uploadID = ""
	}
	j.ids = s.writes
	j.meta = posixattr.Encode(n.attr(), j.id)
	for k, v := range n.foreign {
		if _, ours := j.meta[k]; !ours {
			j.meta[k] = v
		}
	}
	return fs.writeJournal(pending.Batch{Put: []pending.Entry{s.entry()}})
}

// maxWrites is how many ids of attempts are remembered: the newest.
const maxWrites = 16
