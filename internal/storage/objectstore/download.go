package objectstore

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// DownloadOptions say what to download.
type DownloadOptions struct {
	IfMatch string // the version to read
	Size    int64  // its size; 0: not known
}

// Download writes a whole object into w, at the offsets of the object: a small one with one
// request, a large one as ranges of one version, several at a time. The content is checked
// as a whole, from the checksums of its ranges. ErrPrecondition when the version is not
// there any more; w then holds a part of what it was, or a mix of attempts of the same.
func (s *Store) Download(ctx context.Context, key string, w io.WriterAt, o DownloadOptions) (Object, error) {
	for attempt := 1; ; attempt++ {
		obj, err := s.download(ctx, key, w, o)
		if errors.Is(err, ErrChecksum) && attempt < fewAttempts {
			s.log.Warn("the content that arrived differs from the stored object; reading it again", "event", "s3_checksum", "key", key, "error", err.Error())
			continue
		}
		return obj, err
	}
}

func (s *Store) download(ctx context.Context, key string, w io.WriterAt, o DownloadOptions) (Object, error) {
	if o.IfMatch != "" && o.Size > 0 && o.Size <= s.options.PartSize {
		return s.downloadWhole(ctx, key, w, o.IfMatch)
	}
	// The checksum of the whole comes with a HEAD, not with a range.
	obj, err := s.Head(ctx, key)
	if err != nil {
		return Object{}, err
	}
	if o.IfMatch != "" && obj.ETag != o.IfMatch {
		return Object{}, s.fail(&request{verb: verbGet, key: key}, ErrPrecondition, fmt.Errorf("the version is %q, and %q was asked for", obj.ETag, o.IfMatch))
	}
	if obj.Size <= s.options.PartSize {
		return s.downloadWhole(ctx, key, w, obj.ETag)
	}
	return obj, s.downloadRanges(ctx, obj, w)
}

func (s *Store) downloadWhole(ctx context.Context, key string, w io.WriterAt, etag string) (Object, error) {
	r, err := s.Get(ctx, key, GetOptions{IfMatch: etag})
	if err != nil {
		return Object{}, err
	}
	defer r.Close()
	_, err = r.WriteTo(io.NewOffsetWriter(w, 0))
	return r.Object, err
}

func (s *Store) downloadRanges(ctx context.Context, obj Object, w io.WriterAt) error {
	ranges, err := cut(obj.Size, s.options.PartSize)
	if err != nil {
		return s.fail(&request{verb: verbGet, key: obj.Key}, ErrTooLarge, err)
	}
	sums := make([][]byte, len(ranges))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.options.Parts)
	for i, p := range ranges {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() (err error) {
			sums[i], err = s.downloadRange(gctx, obj, p, w)
			return err
		})
	}
	if err := join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	if !obj.checksum.Combines() {
		return nil
	}
	whole := sums[0]
	for i := 1; i < len(sums); i++ {
		whole = obj.checksum.Combine(whole, sums[i], ranges[i].size)
	}
	if !obj.checksum.Matches(whole) && !isComposite(obj, sums) {
		return s.fail(&request{verb: verbGet, key: obj.Key}, ErrChecksum, fmt.Errorf("%s of what came is not %s", obj.checksum.Algorithm, obj.checksum.Value))
	}
	return nil
}

// isComposite says that what the store calls the checksum of the content is that of the checksums of
// its parts, which are the ranges that were read: some stores give the one under the other's name.
func isComposite(obj Object, sums [][]byte) bool {
	if _, parts, ok := strings.Cut(obj.ETag, "-"); !ok || parts != strconv.Itoa(len(sums)) {
		return false
	}
	h := obj.checksum.Hash()
	for _, sum := range sums {
		h.Write(sum)
	}
	return obj.checksum.Matches(h.Sum(nil))
}

func (s *Store) downloadRange(ctx context.Context, obj Object, p part, w io.WriterAt) ([]byte, error) {
	r, err := s.Get(ctx, obj.Key, GetOptions{IfMatch: obj.ETag, Offset: p.offset, Length: p.size})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	to := &rangeWriter{w: io.NewOffsetWriter(w, p.offset)}
	if obj.checksum.Combines() {
		to.hash = obj.checksum.Hash()
	}
	if n, err := r.WriteTo(to); err != nil || n == p.size {
		return to.sum(), err
	}
	return nil, s.fail(&request{verb: verbGet, key: obj.Key}, ErrUnavailable, io.ErrUnexpectedEOF)
}

// rangeWriter sums up what it writes.
type rangeWriter struct {
	w    io.Writer
	hash hash.Hash
}

func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.hash != nil {
		w.hash.Write(p)
	}
	return w.w.Write(p)
}

func (w *rangeWriter) sum() []byte {
	if w.hash == nil {
		return nil
	}
	return w.hash.Sum(nil)
}
