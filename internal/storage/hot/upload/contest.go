package upload

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// contested finds out which client wrote a version that a condition did not expect. again says that the
// journal now knows what S3 holds, and the version is to be sent once more.
func (s *Sender) contested(ctx context.Context, v *version) (r Result, again bool) {
	o, err := s.Store.Head(ctx, s.Prefix+v.key)
	if errors.Is(err, objectstore.ErrNotFound) {
		s.Remember(s.Journal.Forget(v.path)) // changed here, gone there: it is uploaded
		return r, true
	}
	if err != nil {
		return remote(ctx, err), false
	}
	if in, ok := s.Journal.Unresolved(v.path); ok {
		if ours, newest := in.Wrote(o.Metadata[posixattr.WriteIDKey]); ours {
			s.Log.Info("a write whose answer was lost had arrived", "event", "own_write_found", "path", v.path)
			s.Remember(s.Journal.Put(s.arrived(in, newest, v, o)))
			return r, true
		}
	}
	theirs, _ := posixattr.Decode(o.Metadata, o.LastModified, v.isMarker())
	if v.isMarker() && len(o.Metadata) > 0 { // without, it says nothing of the directory: some stores keep none with such keys
		return s.yieldMarker(v, o, theirs)
	}
	same, err := s.sameContent(ctx, v, o)
	if err != nil {
		return s.unsent(ctx, v, err), false
	}
	if same {
		// No content is at stake. Their attributes are taken for what is known, so that ours,
		// where they differ, replace them.
		e := v.entry(o.ETag, o.LastModified.Unix())
		e.Mode, e.Mtime, e.Whole = theirs.Mode, theirs.Mtime, o.Metadata[posixattr.WholeKey] != ""
		s.Remember(s.Journal.Put(e))
		return r, true
	}
	return s.yield(ctx, v, o), false
}

// arrived is the entry of a write of ours that S3 turns out to have.
func (s *Sender) arrived(in journal.Intent, newest bool, v *version, o objectstore.Object) journal.Entry {
	attr, _ := posixattr.Decode(o.Metadata, o.LastModified, v.isMarker())
	e := journal.Entry{
		Path: v.path, Key: v.key, ETag: o.ETag, Size: o.Size, Mode: attr.Mode, Mtime: attr.Mtime, Modified: o.LastModified.Unix(),
		Whole: o.Metadata[posixattr.WholeKey] != "",
	}
	if newest {
		e.SHA256, e.Local = in.SHA256, in.Local
	}
	return e
}

// sameContent compares the version with an object that another client wrote.
func (s *Sender) sameContent(ctx context.Context, v *version, o objectstore.Object) (bool, error) {
	if o.Size != v.size {
		return false, nil
	}
	if etag, err := hex.DecodeString(o.ETag); err == nil && len(etag) == md5.Size {
		// Usually the content's MD5. When it is equal, so is the content; when it is not, it may be
		// an encrypted object's, which says nothing.
		h := md5.New()
		if _, err := io.Copy(h, io.NewSectionReader(v.body, 0, v.size)); err != nil {
			return false, err
		}
		if string(h.Sum(nil)) == string(etag) {
			return true, nil
		}
	}
	body, err := s.Store.Get(ctx, o.Key, objectstore.GetOptions{IfMatch: o.ETag})
	if err != nil {
		return false, err
	}
	defer body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return false, err
	}
	sum, err := v.hash(ctx)
	return err == nil && string(h.Sum(nil)) == string(sum[:]), err
}

// yieldMarker takes over the attributes of a directory that another client wrote.
func (s *Sender) yieldMarker(v *version, o objectstore.Object, theirs posixattr.Attr) (Result, bool) {
	if err := s.Root.SetAttr(v.path, tree.Attr{Mode: theirs.Mode, Mtime: theirs.Mtime}); err != nil {
		return local(v.path, err), false
	}
	e := v.entry(o.ETag, o.LastModified.Unix())
	e.Mode, e.Mtime = theirs.Mode, theirs.Mtime
	s.Remember(s.Journal.Put(e))
	return Result{Outcome: queue.Stored, Recheck: []string{v.path}}, false
}

// yield leaves the key to the client that wrote it. The order matters: ours has its new name
// before theirs takes the old one; a kill in between leaves ours under the new name, which
// is uploaded like any new file, and theirs to be fetched by the next hydrate.
func (s *Sender) yield(ctx context.Context, v *version, o objectstore.Object) Result {
	mine, err := s.rename(v)
	if err != nil {
		return local(v.path, err)
	}
	s.Log.Warn("another writer stored an object at this name; its object keeps the name, and the local file gets another one", "event", "conflict", "path", v.path, "copy", mine)
	r := s.fetch(ctx, v.dir, v.name, v.key, o)
	r.Recheck = append(r.Recheck, mine)
	r.Conflict = mine
	return r
}

func (s *Sender) rename(v *version) (string, error) {
	for at := s.Now(); ; at = at.Add(time.Millisecond) {
		name := conflict.Name(v.name, s.SandboxID, at)
		rename := func() error { return v.dir.RenameSeen(v.name, tree.Info{Stat: v.local}, name) }
		var err error
		if v.whole {
			err = s.move(v, name, rename)
		} else {
			err = rename()
		}
		if !errors.Is(err, fs.ErrExist) {
			return tree.Join(v.dir.Path(), name), err
		}
	}
}

// fetch brings another client's object to a name that is free.
func (s *Sender) fetch(ctx context.Context, d *tree.Dir, name, key string, o objectstore.Object) Result {
	path := tree.Join(d.Path(), name)
	if err := s.clearMembers(d, name); err != nil {
		return local(path, err)
	}
	e, err := s.Fetch.Fetch(ctx, fetch.Source{Key: key, ETag: o.ETag, Size: o.Size}, fetch.Target{Dir: d, Name: name})
	var refused *fetch.Refused
	switch {
	case err == nil:
		s.Remember(s.Journal.Put(e))
	case errors.Is(err, objectstore.ErrNotFound):
		s.Remember(s.Journal.Forget(path)) // they took it away again
	case errors.Is(err, fs.ErrExist), errors.Is(err, tree.ErrChanged):
		return changed(path) // the workload made a new one: that is another conflict
	case errors.As(err, &refused):
		s.Remember(s.Journal.Forget(path)) // kept in S3: nothing here stands for it
		return Result{Outcome: queue.Stored, Err: fmt.Errorf("kept in S3: %s", strings.TrimSpace(refused.Reason))}
	default:
		return remote(ctx, err)
	}
	return Result{Outcome: queue.Stored, Recheck: []string{path}}
}
