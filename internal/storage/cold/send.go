package cold

import (
	"context"
	"errors"
	"strings"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// write brings the content to the key.
func (j *job) write(ctx context.Context) outcome {
	ctx, release, err := j.fence.Write(ctx)
	if err != nil {
		return outcome{err: err}
	}
	defer release()
	cond := objectstore.Condition{IfMatch: j.base.ETag, IfNoneMatch: j.base.ETag == ""}
	var o objectstore.Object
	switch {
	case j.plan != nil:
		o, err = j.compose(ctx, cond)
	case j.copyFrom != "":
		o, err = j.store.Copy(ctx, objectstore.CopyRequest{SrcKey: j.copyFrom, SrcETag: j.copyETag, DstKey: j.key, Condition: cond, Metadata: j.meta})
	default:
		o, err = j.store.Put(ctx, j.key, j.body, j.size, objectstore.PutOptions{
			Condition: cond, Metadata: j.meta, UploadID: j.uploadID, Verify: func() error { return j.uploaded() },
			OnUploadID: func(id string) { j.noteUpload(id) },
		})
	}
	if err == nil {
		o.Size = j.size
		return outcome{object: o}
	}
	if !errors.Is(err, objectstore.ErrPrecondition) && !errors.Is(err, objectstore.ErrNotFound) {
		return outcome{err: err}
	}
	return j.explain(ctx, err)
}

// noteUpload remembers a multipart upload, so that it is continued after a failure or a kill.
func (j *job) noteUpload(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun, j.dirty.cancel = id, j.cancel
	if j.dirty.gen != j.keyGen || j.changes.dirtyKeys[j.path] != j.dirty {
		return // it goes on if its node has only got another name
	}
	j.dirty.uploadID, j.dirty.uploadGen = id, j.gen
	if err := j.changes.writeJournal(pending.Batch{Put: []pending.Entry{j.dirty.entry()}}); err != nil {
		j.log.Warn("a multipart upload would not be continued after a kill", "event", "cold_journal", "error", err)
	}
}

// uploaded says that all parts are there and the object is made of them next. From here on the attempt is
// not broken off any more: its answer says whether the object is there.
func (j *job) uploaded() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty.cancel = nil
	if n := j.node; n.parent == nil && j.dirty.node != n {
		return errChanged
	}
	return nil
}

// sent is how many bytes of content the attempt sends.
func (j *job) sent() (n int64) {
	switch {
	case j.plan != nil:
		for _, r := range j.plan.Sent {
			n += r.End - r.Off
		}
		return n
	case j.copyFrom != "":
		return 0
	}
	return j.size
}

// abandon gives up a multipart upload that will not be continued, so that its parts are not kept
// and paid for. With mu.
func (ch *changes) abandon(path, id string) {
	key, err := keyOf(path)
	if id = strings.TrimPrefix(id, composedMark); id == "" || err != nil {
		return
	}
	ch.background(func() {
		ctx, cancel := context.WithTimeout(ch.ctx, ch.patience)
		defer cancel()
		ctx, release, err := ch.fence.Write(ctx)
		if err == nil {
			err = ch.store.Abort(ctx, ch.prefix+key, id)
			release()
		}
		if err != nil {
			ch.log.Info("a multipart upload was left behind in S3; a lifecycle rule removes such", "event", "cold_abort", "key", key, "error", err)
		}
	})
}

// explain finds out why a conditional write failed.
func (j *job) explain(ctx context.Context, why error) outcome {
	there, err := j.store.Head(ctx, j.key)
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		there = objectstore.Object{}
	case err != nil:
		return outcome{err: err}
	}
	if there.ETag != "" && j.ours(there.Metadata[posixattr.WriteIDKey]) {
		if there.Metadata[posixattr.WriteIDKey] == j.id {
			return outcome{object: there} // it arrived, and its answer was lost
		}
		return outcome{object: there, rebase: true} // an earlier attempt of ours
	}
	if j.plan != nil && there.ETag == j.base.ETag {
		return outcome{err: j.sendWhole(why)}
	}
	if there.ETag == j.base.ETag && j.copyFrom != "" {
		// The key is as it should be, so it is the source that is not.
		return outcome{vanished: true, object: there, err: why}
	}
	if there.ETag == "" || strings.HasSuffix(j.path, "/") {
		// Another client deleted it, while it was changed here: the change stays. A marker has no
		// content that could be lost.
		return outcome{object: there, rebase: true}
	}
	if there.ETag == j.base.ETag {
		return outcome{err: why} // a store that contradicts itself, or a race: try again
	}
	return outcome{object: there, conflict: true}
}

func (j *job) ours(id string) bool {
	for _, w := range j.ids {
		if id != "" && w == id {
			return true
		}
	}
	return false
}

// delete removes the object.
func (j *job) delete(ctx context.Context) outcome {
	ctx, release, err := j.fence.Write(ctx)
	if err != nil {
		return outcome{err: err}
	}
	defer release()
	j.mu.Lock()
	j.ids = j.dirty.writes
	j.mu.Unlock()
	etag := j.base.ETag
	for range 2 {
		if etag != "" {
			err = j.store.Delete(ctx, j.key, objectstore.Condition{IfMatch: etag})
			if err == nil || !errors.Is(err, objectstore.ErrPrecondition) {
				return outcome{err: err}
			}
		}
		there, herr := j.store.Head(ctx, j.key)
		if errors.Is(herr, objectstore.ErrNotFound) {
			return outcome{}
		}
		if herr != nil {
			return outcome{err: herr}
		}
		if !j.ours(there.Metadata[posixattr.WriteIDKey]) {
			return outcome{object: there, conflict: true}
		}
		etag = there.ETag // a write of ours that had arrived
	}
	return outcome{err: err}
}
