package upload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/threads"
)

// errRoot says that the home is not the directory that was hydrated.
var errRoot = errors.New("the home is not the directory that was hydrated")

// held is what S3 may hold of a name, as far as the journal tells.
type held struct {
	path  string
	isDir bool
	known journal.Entry
	ok    bool // known is the name's
	other bool // the path's entry is of the file that was a directory, or the reverse
	in    journal.Intent
	sent  bool // the write of in is the name's, and may have arrived
}

func (s *Sender) held(name string) held {
	path, isDir := strings.CutSuffix(name, "/")
	h := held{path: path, isDir: isDir}
	h.known, h.ok = s.Journal.Get(path)
	h.in, h.sent = s.Journal.Unresolved(path)
	h.other = h.ok && h.known.IsMarker() != isDir
	h.ok = h.ok && !h.other
	h.sent = h.sent && strings.HasSuffix(h.in.Key, "/") == isDir
	return h
}

// remove deletes the objects of a name that is not on the disk any more.
func (s *Sender) remove(ctx context.Context, name string) Result {
	h := s.held(name)
	twin, hasTwin := s.Journal.Twins().Get(name)
	if !h.ok && !h.sent && !hasTwin {
		return s.removeKnown(ctx, h) // nothing is left to delete, so that the disk need not be asked
	}
	r, done, replaced := s.member(h.path)
	if done {
		return r
	}
	if r, gone := s.isGone(h.path, h.isDir); !gone && (!replaced || r.Outcome != queue.Changed) {
		return r
	}
	if hasTwin {
		return s.removeBoth(ctx, name, twin, h)
	}
	return s.removeKnown(ctx, h)
}

// removeKnown deletes the object that the journal has of a name, or that a write of which no answer came
// may have left.
func (s *Sender) removeKnown(ctx context.Context, h held) Result {
	path, known, in, sent := h.path, h.known, h.in, h.sent
	switch {
	case !h.ok && !sent && !h.other:
		s.Remember(s.Journal.DropTombstone(path))
		return Result{Outcome: queue.Stored} // S3 holds nothing of ours
	case !h.ok && !sent:
		return Result{Outcome: queue.Stored}
	case sent && in.UploadID != "":
		s.abort(ctx, in)
	}
	if !h.ok {
		known = journal.Entry{Path: path, Key: in.Key} // a first write that may have arrived
	}
	for range rounds {
		err := objectstore.ErrPrecondition
		if known.ETag != "" {
			s.Remember(s.Journal.BeginDelete(path, known.Key))
			err = s.delete(ctx, known)
		}
		if err == nil {
			s.Remember(s.Journal.Forget(path))
			return Result{Outcome: queue.Stored, Sent: true}
		}
		if !errors.Is(err, objectstore.ErrPrecondition) {
			return remote(ctx, err)
		}
		// Another version than we know of. Ours, whose answer was lost, goes all the same.
		o, err := s.Store.Head(ctx, s.Prefix+known.Key)
		if errors.Is(err, objectstore.ErrNotFound) {
			s.Remember(s.Journal.Forget(path))
			return Result{Outcome: queue.Stored}
		}
		if err != nil {
			return remote(ctx, err)
		}
		ours, _ := in.Wrote(o.Metadata[posixattr.WriteIDKey])
		if !sent || !ours {
			return s.restore(ctx, path, known.Key, o)
		}
		known.ETag = o.ETag
	}
	return Result{Outcome: queue.Stuck, Err: errors.New("others are writing to this key all the time")}
}

func (s *Sender) delete(ctx context.Context, e journal.Entry) error {
	wctx, cancel, err := s.Fence.Write(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return cause(wctx, s.Store.Delete(wctx, s.Prefix+e.Key, objectstore.Condition{IfMatch: e.ETag}))
}

// isGone looks whether a name is really missing: from a directory that could be searched,
// on the root's device and mount, below the root that was hydrated. Where a directory above it is
// missing too, that one's directory counts.
func (s *Sender) isGone(path string, isDir bool) (Result, bool) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	if replaced, err := s.Root.Replaced(); replaced || err != nil {
		return Result{Outcome: queue.Retry, HeldBack: true, Err: errors.Join(errRoot, err)}, false
	}
	for {
		parent, name := tree.Split(path)
		d, err := s.Root.OpenDir(parent)
		if missing(err) && parent != "" {
			path, isDir = parent, true
			continue
		}
		if err != nil {
			return Result{Outcome: queue.Stuck, Err: err, Mounted: errors.Is(err, tree.ErrMounted)}, false
		}
		defer d.Close()
		at, err := d.Stat()
		if err == nil && at.Dev != s.rootDev {
			err = fmt.Errorf("%q is on another device than the home: nothing there is taken for deleted", tree.Join("", parent))
		}
		if err != nil {
			return Result{Outcome: queue.Stuck, Err: err}, false
		}
		i, err := d.Lstat(name)
		switch {
		case missing(err):
			return Result{}, true
		case err != nil:
			return Result{Outcome: queue.Stuck, Err: err}, false
		case i.IsDir() != isDir || !Kept(i.Mode):
			return Result{}, true // something else has its name
		}
		return changed(path), false
	}
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// restore brings back what another client wrote to a key whose file was deleted here.
func (s *Sender) restore(ctx context.Context, path, key string, o objectstore.Object) Result {
	s.Log.Warn("a file that was deleted here was stored anew by another writer; its object is kept", "event", "conflict_deleted", "path", path)
	if strings.HasSuffix(key, "/") {
		s.Remember(s.Journal.Forget(path)) // an empty directory of theirs comes with the next hydrate
		return Result{Outcome: queue.Stored}
	}
	parent, name := tree.Split(path)
	d, err := s.Root.OpenDir(parent)
	if err != nil {
		if missing(err) { // its directory is gone as well: theirs stays in S3
			s.Remember(s.Journal.Forget(path))
			return Result{Outcome: queue.Stored}
		}
		return local(path, err)
	}
	defer d.Close()
	return s.fetch(ctx, d, name, key, o)
}
