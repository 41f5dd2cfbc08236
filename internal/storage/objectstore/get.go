package objectstore

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Head looks an object up. ErrNotFound when there is none.
func (s *Store) Head(ctx context.Context, key string) (Object, error) {
	r := &request{verb: verbHead, method: http.MethodHead, key: key}
	resp, err := s.readChecked(ctx, r)
	if err != nil {
		return s.headByGet(ctx, key, err)
	}
	return s.objectOf(key, resp.Header), nil
}

// headByGet asks again for what a HEAD refused: it has no body that says why, so the same
// question is put as a GET of one byte.
func (s *Store) headByGet(ctx context.Context, key string, err error) (Object, error) {
	var e *Error
	if !errors.As(err, &e) || e.Code != "" {
		return Object{}, err
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMovedPermanently, http.StatusUnauthorized:
	default:
		return Object{}, err
	}
	r := &request{verb: verbGet, method: http.MethodGet, key: key}
	r.set("Range", "bytes=0-0")
	resp, why := s.do(ctx, r)
	if why == nil {
		defer resp.Close()
		return s.objectOf(key, resp.Header), nil
	}
	var w *Error
	if errors.As(why, &w) && w.Code != "" && w.Code != "InvalidRange" {
		w.Op = verbOps[verbHead]
		return Object{}, w
	}
	return Object{}, err
}

// GetOptions say what to read. The zero value reads all.
type GetOptions struct {
	IfMatch string // the version to read; ErrPrecondition when it is not there any more
	Offset  int64  // where to begin
	Length  int64  // how much; 0: to the end

	// Unchecked: what comes is not compared with the checksum that the store keeps.
	Unchecked bool
}

// Get begins to read an object.
func (s *Store) Get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	rd := &Reader{store: s, ctx: ctx, pos: o.Offset}
	resp, err := s.get(ctx, key, o)
	if err != nil {
		return nil, err
	}
	rd.Object = s.objectOf(key, resp.Header)
	rd.resp, rd.end = resp, o.Offset+resp.ContentLength
	if resp.ContentLength < 0 {
		_ = resp.Close()
		return nil, &Error{Op: verbOps[verbGet], Bucket: s.options.S3.Bucket, Key: key, Status: resp.StatusCode, kind: ErrEndpoint, err: errors.New("the answer says no Content-Length")}
	}
	if o.Offset == 0 && resp.ContentLength == rd.Size && !o.Unchecked {
		rd.hash = rd.checksum.Hash()
	}
	return rd, nil
}

func (s *Store) get(ctx context.Context, key string, o GetOptions) (*response, error) {
	r := &request{verb: verbGet, method: http.MethodGet, key: key}
	partial := o.Offset > 0 || o.Length > 0
	if partial {
		to := ""
		if o.Length > 0 {
			to = strconv.FormatInt(o.Offset+o.Length-1, 10)
		}
		r.set("Range", "bytes="+strconv.FormatInt(o.Offset, 10)+"-"+to)
	}
	if o.IfMatch != "" {
		r.set("If-Match", quote(o.IfMatch))
	}
	send := s.readChecked
	if partial { // the store's checksum is that of the whole
		send = s.do
	}
	resp, err := send(ctx, r)
	if err != nil {
		return nil, err
	}
	// A version other than the one that was asked for, or other bytes than those: a store
	// that ignores If-Match or Range must not go unnoticed.
	bad := func(kind error, format string, a ...any) (*response, error) {
		_ = resp.Close()
		e := s.fail(r, kind, fmt.Errorf(format, a...))
		e.Status = resp.StatusCode
		return nil, e
	}
	if etag := bare(resp.Header.Get("Etag")); o.IfMatch != "" && etag != o.IfMatch {
		return bad(ErrPrecondition, "the version is %q, and %q was asked for", etag, o.IfMatch)
	}
	if partial {
		from := "bytes " + strconv.FormatInt(o.Offset, 10) + "-"
		if got := resp.Header.Get("Content-Range"); resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(got, from) || o.Length > 0 && resp.ContentLength > o.Length {
			return bad(ErrUnsupported, "the range %s was asked for and %q came", r.header[0].Value, got)
		}
	}
	return resp, nil
}

// Reader reads an object. It continues by itself where a connection broke. An object whose
// whole body has been read is checked: the last Read returns ErrChecksum in place of
// io.EOF when it is not what the store keeps a checksum of; what was read before must
// then be thrown away.
type Reader struct {
	Object

	store *Store
	ctx   context.Context
	resp  *response
	pos   int64 // of the next byte in the object
	end   int64
	hash  hash.Hash // nil: a part of the object, or the store has no checksum of it
	pause *pause
	broke int64 // where it broke last
	err   error
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.pos == r.end {
		r.err = r.finish()
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := r.resp.Read(p[:min(int64(len(p)), r.end-r.pos)])
		if n > 0 {
			r.pos += int64(n)
			if r.hash != nil {
				r.hash.Write(p[:n])
			}
			return n, nil // an error comes again
		}
		if err == nil {
			continue
		}
		if err = r.resume(err); err != nil {
			r.err = err
			return 0, err
		}
	}
}

// finish verifies, and reads the end of the body, so that the connection can be used again.
func (r *Reader) finish() error {
	var one [1]byte
	_, _ = r.resp.Read(one[:])
	if r.hash == nil {
		return io.EOF
	}
	if sum := r.hash.Sum(nil); !r.checksum.Matches(sum) && !isComposite(r.Object, [][]byte{sum}) {
		return &Error{Op: verbOps[verbGet], Bucket: r.store.options.S3.Bucket, Key: r.Key, kind: ErrChecksum,
			err: fmt.Errorf("%s of what came is not %s", r.checksum.Algorithm, r.checksum.Value)}
	}
	return io.EOF
}

// resume asks for the rest of the same version, after the connection broke with why.
func (r *Reader) resume(why error) error {
	if errors.Is(why, io.EOF) {
		why = io.ErrUnexpectedEOF
	}
	_ = r.resp.Close()
	if r.pause == nil || r.pos > r.broke {
		r.pause, r.broke = newPause(r.store.deadline(r.ctx)), r.pos
	}
	fail := func() error {
		return &Error{Op: verbOps[verbGet], Bucket: r.store.options.S3.Bucket, Key: r.Key, kind: ErrUnavailable, err: join(context.Cause(r.ctx), why),
			Hint: fmt.Sprintf("it broke off after %d of %d bytes", r.pos, r.end)}
	}
	if r.ETag == "" || !r.pause.wait(r.ctx, false, 0) {
		return fail()
	}
	resp, err := r.store.get(r.ctx, r.Key, GetOptions{IfMatch: r.ETag, Offset: r.pos, Length: r.end - r.pos})
	if err != nil {
		return err
	}
	if resp.ContentLength != r.end-r.pos {
		_ = resp.Close()
		return fail()
	}
	r.resp = resp
	return nil
}

// WriteTo implements io.WriterTo, so that io.Copy allocates no buffer.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	buf := buffers.Get().(*[smallBody]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// Close lets the connection go. It does not say whether all was read.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = errClosed
	}
	return r.resp.Close()
}

var errClosed = errors.New("read after Close")
