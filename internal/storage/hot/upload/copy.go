package upload

import (
	"context"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// copied writes the version by a copy inside S3, when an object there is known to have its
// content: this very one, of which the attributes changed, or one whose file was
// renamed. Where a copy's conditions are not honoured, above 5 GiB, and when the store refuses it,
// it does nothing, and the version is to be uploaded.
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
		Condition: cond, Metadata: v.metadata(in.WriteID),
	})
	if err != nil && wctx.Err() == nil {
		// The source's tags need rights that an upload does not, its key is unavailable, one of the two objects has
		// changed: the upload will tell.
		s.Log.Info("a copy inside S3 is refused; the file is uploaded", "event", "copy_refused", "path", v.path, "error", err)
		return o, false, nil
	}
	return o, err == nil, cause(wctx, err)
}
