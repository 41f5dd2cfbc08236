package upload

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// copied writes the version by a copy inside S3, when an object there is known to have its
// content: this very one, of which the attributes changed, or one whose file was
// renamed. Where a copy's conditions are not honoured, and above 5 GiB, it does nothing.
func (s *Sender) copied(ctx context.Context, v *version, known journal.Entry, ok bool, cond objectstore.Condition) (o objectstore.Object, done bool, err error) {
	if v.src == nil || v.size == 0 || v.size > objectstore.MaxCopy || !s.Store.Conditional().Copy {
		return o, false, nil
	}
	from := known
	if ok && v.size > small { // a small one is sent as fast as it is copied
		ok, err = v.hasContent(ctx, known)
	} else {
		ok = false
	}
	if !ok && err == nil {
		if from, ok = s.Moved(v.src.Info.Ino); ok {
			ok, err = v.hasContent(ctx, from)
		}
	}
	if !ok || err != nil {
		return o, false, err
	}
	in, _ := s.intent(ctx, v)
	s.Remember(s.Journal.Begin(v.path, in))
	wctx, cancel, err := s.Fence.Write(ctx)
	if err != nil {
		return o, false, err
	}
	defer cancel()
	o, err = s.Store.Copy(wctx, objectstore.CopyRequest{
		SrcKey: s.Prefix + from.Key, SrcETag: from.ETag, DstKey: s.Prefix + v.key,
		Condition: cond, Metadata: posixattr.Encode(v.attr, in.WriteID),
	})
	if errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrUnsupported) {
		return o, false, nil // the source is not what it was, or the destination: the upload will tell
	}
	return o, err == nil, cause(wctx, err)
}
