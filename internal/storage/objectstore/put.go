package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// PutOptions say how to write.
type PutOptions struct {
	Condition
	Metadata map[string]string // names without "x-amz-meta-"; printable ASCII, 2 KB together

	// Verify is asked once, after the body has been read and before the store makes the object of it:
	// a caller whose file other processes write compares its stat there. An error from it
	// leaves the store as it was, and is in the error of Put. Checksums alone do not see
	// a change between two parts, or between two pages of a small body.
	Verify func() error

	// UploadID continues a multipart upload that was broken off; the parts of it that hold
	// what the body has there are kept. Its metadata is that of the first attempt. One
	// that is gone is begun anew.
	UploadID string
	// OnUploadID is told the id of a multipart upload before its first part is sent. Who
	// takes it keeps the upload alive over a Put that fails, and continues or aborts it; else
	// Put aborts it.
	OnUploadID func(id string)
}

// Put writes an object: [0, size) of body. A body that changes meanwhile is not written where
// that can be noticed (see Verify); the error is ErrChecksum or io.ErrUnexpectedEOF. Above
// Options.PartSize it goes in parts. ErrPrecondition when the condition does not hold,
// with the store unchanged. Nothing reads body any more when Put has returned.
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Object, error) {
	if err := checkMetadata(o.Metadata); err != nil {
		e := s.fail(&request{verb: verbPut, key: key}, ErrInvalid, err)
		return Object{}, e
	}
	if size > s.options.PartSize {
		return s.putParts(ctx, key, body, size, o)
	}
	r := &request{verb: verbPut, method: http.MethodPut, key: key, body: body, size: size}
	if size <= smallBody {
		buf := buffers.Get().(*[smallBody]byte)
		defer buffers.Put(buf)
		if n, err := body.ReadAt(buf[:size], 0); int64(n) < size {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Object{}, s.fail(r, nil, err)
		}
		r.body = bytes.NewReader(buf[:size])
	}
	return s.insist(ctx, key, o.Condition, func(c Condition) (Object, error) {
		o.Condition = c
		return s.withChecksum(ctx, func(md5 bool) (Object, error) { return s.putOnce(ctx, *r, o, md5) })
	})
}

func (s *Store) putOnce(ctx context.Context, r request, o PutOptions, md5 bool) (Object, error) {
	sum, err := s.sumsOf(r.body, 0, r.size, md5)
	if err != nil {
		return Object{}, s.fail(&r, nil, err)
	}
	sum.set(&r)
	setMetadata(&r, o.Metadata)
	if err := o.verify(s, &r); err != nil {
		return Object{}, err
	}
	if err := s.condition(ctx, &r, o.Condition, s.conditional.Load().Put); err != nil {
		return Object{}, err
	}
	resp, err := s.do(ctx, &r)
	if err != nil {
		return s.own(ctx, &r, o.Metadata, err)
	}
	w := written(r.key, r.size, resp.Header, o.Metadata)
	w.Ambiguous = r.ambiguous
	return s.named(ctx, w), nil
}

// withChecksum writes with a CRC32C; where the store refuses the header of one, as some that are
// not AWS do, with Content-MD5, and from then on with that.
func (s *Store) withChecksum(ctx context.Context, write func(md5 bool) (Object, error)) (Object, error) {
	if s.dialect.md5.Load() {
		return write(true)
	}
	o, err := write(false)
	if !refusesChecksum(err) || ctx.Err() != nil {
		return o, err
	}
	o, with := write(true)
	if with != nil {
		if refusesChecksum(with) {
			return o, err // it was something else
		}
		return o, with
	}
	if !s.dialect.md5.Swap(true) {
		s.log.Warn("the store refuses x-amz-checksum-crc32c; uploads carry Content-MD5, and downloads cannot be checked", "event", "s3_no_checksums")
	}
	return o, nil
}

// refusesChecksum says that a refusal may be one of the checksum's header.
func refusesChecksum(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return errors.Is(e.kind, ErrUnsupported) || errors.Is(e.kind, ErrInvalid) && strings.Contains(strings.ToLower(e.Code+e.Message), "checksum")
}

func (o *PutOptions) verify(s *Store, r *request) error {
	if o.Verify == nil {
		return nil
	}
	if err := o.Verify(); err != nil {
		return s.fail(r, nil, err)
	}
	return nil
}

// condition puts the condition into the request, or, where the store does not honour it
// for this verb, looks first. Between that look and the write another may write: the
// store offers no better.
func (s *Store) condition(ctx context.Context, r *request, c Condition, honoured bool) error {
	if c.IsZero() {
		return nil
	}
	if honoured {
		s.setCondition(r, c)
		return nil
	}
	return s.look(ctx, r, r.key, c)
}

// look says whether the condition holds now.
func (s *Store) look(ctx context.Context, r *request, key string, c Condition) error {
	o, err := s.Head(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		if c.IfMatch == "" {
			return nil
		}
	case err != nil:
		return err
	case c.IfMatch != "" && o.ETag == c.IfMatch:
		return nil
	}
	e := s.fail(r, ErrPrecondition, nil)
	e.Status = http.StatusPreconditionFailed
	return e
}

// own finds out whether a write that was refused is there all the same: an earlier attempt
// arrived, its answer was lost, and the condition failed for what we wrote ourselves.
func (s *Store) own(ctx context.Context, r *request, meta map[string]string, err error) (Object, error) {
	id := meta[posixattr.WriteIDKey]
	if !r.ambiguous || id == "" || !errors.Is(err, ErrPrecondition) && !errors.Is(err, errNoUpload) {
		return Object{}, err
	}
	o, herr := s.Head(ctx, r.key)
	if herr != nil || o.Metadata[posixattr.WriteIDKey] != id {
		return Object{}, err
	}
	o.Ambiguous = true
	return o, nil
}

// named looks the ETag of a write up where the answer has none. One that another write has followed
// gets an ETag that no object has: with none at all, the next write of the key would have no condition.
func (s *Store) named(ctx context.Context, w Object) Object {
	if w.ETag != "" {
		return w
	}
	o, err := s.Head(ctx, w.Key)
	id := w.Metadata[posixattr.WriteIDKey]
	if err != nil || o.ETag == "" || id != "" && o.Metadata[posixattr.WriteIDKey] != id {
		w.ETag = noVersion
		return w
	}
	w.ETag = o.ETag
	return w
}

func written(key string, size int64, h http.Header, meta map[string]string) Object {
	return Object{Key: key, ETag: bare(h.Get("Etag")), Size: size, Metadata: meta, Date: date(h, "Date")}
}

func setMetadata(r *request, meta map[string]string) {
	for k, v := range meta {
		name := http.CanonicalHeaderKey(metaPrefix + k)
		r.header = append(r.header, protocol.NewField(name, v))
	}
}

// maxMetadata is what S3 takes of user metadata, names and values together, in bytes
// ("Working with object metadata").
const maxMetadata = 2 << 10

// checkMetadata refuses what would not come back as it went: a header field carries printable
// ASCII, without blanks at its ends.
func checkMetadata(meta map[string]string) error {
	n := 0
	for k, v := range meta {
		n += len(k) + len(v)
		for _, c := range []byte(k) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return errors.New("metadata " + quoted(k) + ": a name has lower-case letters, digits and \"-\"")
			}
		}
		for _, c := range []byte(v) {
			if c < ' ' || c > '~' {
				return errors.New("metadata " + k + "=" + quoted(v) + ": a value is printable ASCII")
			}
		}
		if k == "" || v != strings.TrimSpace(v) {
			return errors.New("metadata " + k + "=" + quoted(v) + ": no blanks at the ends, no empty name")
		}
	}
	if n > maxMetadata {
		return errors.New("the metadata is larger than the 2 KB that S3 allows")
	}
	return nil
}
