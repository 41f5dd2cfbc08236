package upload

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/stable"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// rounds is how often a name is sent again because S3 had another version than was known.
const rounds = 4

// store makes S3 hold a version. ErrMoved as the result's error: it is none any more.
func (s *Sender) store(ctx context.Context, v *version) Result {
	leave, blocker := s.way.enter(v.lineName(), v.force, s.Journal)
	if blocker != "" {
		return Result{Outcome: queue.Changed, BlockedBy: blocker}
	}
	defer leave()
	for range rounds {
		known, ok := s.Journal.Get(v.path)
		if ok && known.IsMarker() != v.isMarker() {
			other := v.path
			if !v.isMarker() {
				other += "/"
			}
			return takesPlace(v.path, other)
		}
		if ok && !v.isMarker() {
			same, err := v.hasContent(ctx, known)
			if err != nil {
				return s.unsent(ctx, v, err)
			}
			// While a write of ours is unanswered, S3 may hold that instead of what is known; or nothing, while a deletion is.
			if same && v.hasAttr(known) && !s.unanswered(v) && !s.replacesMembers(v, known) {
				s.Remember(s.Journal.Refresh(v.path, known.ETag, v.local))
				return Result{Outcome: queue.Stored, Racy: v.racy}
			}
		}
		if !v.isMarker() {
			if err := s.Before(ctx, v.path); err != nil {
				return s.unsent(ctx, v, err)
			}
		}
		o, bytes, err := s.send(ctx, v, known, ok)
		if err == nil {
			if in, ok := s.Journal.Intent(v.path); ok && o.Ambiguous {
				in.WriteID = in.Again() // the attempt that counts was not the only one
				s.Remember(s.Journal.Begin(v.path, in))
			}
			s.Remember(s.Journal.Put(v.entry(o.ETag, writtenAt(o))))
			return Result{Outcome: queue.Stored, Sent: true, Bytes: bytes, Racy: v.racy}
		}
		if !errors.Is(err, objectstore.ErrPrecondition) && !errors.Is(err, objectstore.ErrNotFound) {
			return s.unsent(ctx, v, err)
		}
		if r, again := s.contested(ctx, v); !again {
			return r
		}
	}
	return Result{Outcome: queue.Stuck, Err: errors.New("others are writing to this key all the time")}
}

// unanswered tells whether an earlier write or deletion of the name may have arrived, or may yet.
func (s *Sender) unanswered(v *version) bool {
	in, ok := s.Journal.Intent(v.path)
	return ok && (in.Key == v.key || in.Deletes)
}

// writtenAt is a bound of the Last-Modified that S3 gave to a write: it is not in the answer,
// and the answer's Date is some servers' idea of the time, a second old.
func writtenAt(o objectstore.Object) int64 {
	if o.Date.IsZero() {
		return 0
	}
	return o.Date.Unix() + 2
}

// unsent is the result of an error on the way.
func (s *Sender) unsent(ctx context.Context, v *version, err error) Result {
	if errors.Is(err, stable.ErrMoved) {
		return Result{Outcome: queue.Retry, Err: err}
	}
	var e *objectstore.Error
	if v.src != nil && !errors.As(err, &e) {
		if r := local(v.path, err); r.Outcome == queue.Changed {
			return r
		}
	}
	return remote(ctx, err)
}

// send writes the version once. bytes is how much content went over the network.
func (s *Sender) send(ctx context.Context, v *version, known journal.Entry, ok bool) (o objectstore.Object, bytes int64, err error) {
	cond := objectstore.Condition{IfNoneMatch: !ok}
	if ok {
		cond.IfMatch = known.ETag
	}
	if o, done, err := s.copied(ctx, v, known, ok, cond); done || err != nil {
		return o, 0, err
	}
	in, resume := s.intent(ctx, v)
	s.Remember(s.Journal.Begin(v.path, in))
	wctx, cancel, err := s.Fence.Write(ctx)
	if err != nil {
		return o, 0, err
	}
	defer cancel()
	opts := objectstore.PutOptions{
		Condition: cond, Metadata: v.metadata(in.WriteID), UploadID: resume,
		OnUploadID: func(id string) {
			in.UploadID = id
			s.Remember(s.Journal.Begin(v.path, in))
		},
	}
	if v.src == nil || v.sum != nil || v.size <= small {
		if v.sum == nil {
			if _, err := v.hash(ctx); err != nil {
				return o, 0, err
			}
		}
		o, err = s.Store.Put(wctx, s.Prefix+v.key, v.body, v.size, opts)
		return o, v.size, cause(wctx, err)
	}
	o, err = s.putAndHash(wctx, v, opts)
	return o, v.size, cause(wctx, err)
}

// putAndHash hashes a large file beside its upload, both out of the page cache.
func (s *Sender) putAndHash(ctx context.Context, v *version, opts objectstore.PutOptions) (objectstore.Object, error) {
	hctx, cancel := context.WithCancel(ctx)
	type result struct {
		sum [32]byte
		err error
	}
	hashed := make(chan result, 1)
	go func() {
		sum, err := v.src.Sum(hctx)
		hashed <- result{sum, err}
	}()
	o, err := s.Store.Put(ctx, s.Prefix+v.key, v.body, v.size, opts)
	if err != nil {
		cancel()
	}
	h := <-hashed
	cancel()
	// Without the hash the object is as good; it is only sent again when its file is touched.
	if h.err == nil {
		v.sum = &h.sum
	}
	return o, err
}

// cause puts the reason why a context ended into the error.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return err
}

// intent is the next attempt at a write, and the multipart upload that it goes on with, if any.
// Attempts that may still arrive share its base, so that they are known as ours.
func (s *Sender) intent(ctx context.Context, v *version) (in journal.Intent, resume string) {
	last, ok := s.Journal.Unresolved(v.path)
	if ok && last.UploadID != "" {
		if last.Key == v.key && last.Local == v.local && last.Mode == v.attr.Mode && !v.racy {
			return last, last.UploadID // the same file: its metadata is that of the first attempt, id included
		}
		s.abort(ctx, last)
	}
	in = journal.Intent{Key: v.key, Size: v.size, Mode: v.attr.Mode, Mtime: v.attr.Mtime, Local: v.local, WriteID: nextWriteID(last)}
	if v.sum != nil {
		in.SHA256 = *v.sum
	}
	return in, ""
}

func nextWriteID(last journal.Intent) string {
	if last.WriteID != "" {
		return last.Again()
	}
	var random [12]byte
	rand.Read(random[:])
	return hex.EncodeToString(random[:]) + ".1"
}

// abort gives up a multipart upload, whose parts would cost money for ever.
func (s *Sender) abort(ctx context.Context, in journal.Intent) {
	wctx, cancel, err := s.Fence.Write(ctx)
	if err != nil {
		return
	}
	defer cancel()
	if err := s.Store.Abort(wctx, s.Prefix+in.Key, in.UploadID); err != nil {
		s.Log.Warn("a multipart upload could not be given up", "event", "abort_failed", "key", in.Key, "error", err)
	}
}
