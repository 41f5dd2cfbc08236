package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// Range is bytes of an object: from Off up to End, without End.
type Range struct{ Off, End int64 }

// Basis is a version of an object in the bucket from which most of new content can be taken, without
// those bytes being sent.
type Basis struct {
	Key  string
	ETag string // ErrPrecondition when the object has another
	Size int64

	// Changed is where the new content differs from it: in order, apart from each other. What is
	// beyond Size differs anyway.
	Changed []Range
}

const (
	// copyPart is up to which size, in bytes, the store is asked to copy a part: large ones take it long.
	copyPart = 512 << 20

	// composeLeast is how many bytes have to be spared for Compose to be worth its requests.
	composeLeast = minPart
)

// Plan is how content is made of a Basis: Sent are the ranges that are read from the body.
type Plan struct {
	Sent  []Range
	basis Basis
	size  int64
	parts []part
}

// Plan says how to make content of a size from a basis; ok is false when it is better sent as a whole, or
// the store is known not to copy parts.
func (s *Store) Plan(size int64, b Basis) (p Plan, ok bool) {
	if s.noCompose.Load() || b.ETag == "" || b.Size < composeLeast {
		return Plan{}, false
	}
	p = Plan{basis: b, size: size, parts: compose(size, b, s.options.PartSize)}
	spared := int64(0)
	for _, part := range p.parts {
		if part.copied {
			spared += part.size
			continue
		}
		r := Range{part.offset, part.offset + part.size}
		if n := len(p.Sent); n > 0 && p.Sent[n-1].End == r.Off {
			p.Sent[n-1].End = r.End
		} else {
			p.Sent = append(p.Sent, r)
		}
	}
	return p, spared >= composeLeast && len(p.parts) <= maxParts
}

// compose cuts content into parts, of which some are copied. A part has at least 5 MiB, save the last
// ("Amazon S3 multipart upload limits"): what is changed in a smaller range is sent with what follows it.
func compose(size int64, b Basis, partSize int64) []part {
	var parts []part
	add := func(off, end int64, copied bool) {
		most := partSize
		if copied {
			most = copyPart
		}
		n := (end - off + most - 1) / most
		for i := range n { // of equal size, so that none is too small
			from, to := off+(end-off)*i/n, off+(end-off)*(i+1)/n
			parts = append(parts, part{offset: from, size: to - from, copied: copied})
		}
	}
	sent := int64(0) // what is sent begins here, or nothing is
	at := int64(0)   // up to here parts are cut
	for _, r := range unchanged(size, b) {
		r.Off = max(r.Off, at)
		if r.Off > sent { // sent: at least a part of its own
			r.Off = max(r.Off, min(sent+minPart, size))
		}
		if r.End-r.Off < minPart && r.End < size || r.End <= r.Off {
			continue
		}
		if r.Off > sent {
			add(sent, r.Off, false)
		}
		add(r.Off, r.End, true)
		at, sent = r.End, r.End
	}
	if sent < size {
		add(sent, size, false)
	}
	return parts
}

// unchanged is what of new content is as in the basis.
func unchanged(size int64, b Basis) []Range {
	var all []Range
	at, end := int64(0), min(size, b.Size)
	for _, c := range append(slices.Clone(b.Changed), Range{end, end}) {
		if to := min(c.Off, end); to > at {
			all = append(all, Range{at, to})
		}
		at = max(at, c.End)
	}
	return all
}

// Compose writes an object after a plan: Sent of body, the rest from the basis. ErrPrecondition when
// the condition does not hold, or the basis is not there any more; ErrUnsupported when the store
// does not copy parts, so that all of the content has to be put. An upload that fails is aborted.
func (s *Store) Compose(ctx context.Context, key string, body io.ReaderAt, p Plan, o PutOptions) (Object, error) {
	if err := checkMetadata(o.Metadata); err != nil {
		return Object{}, s.fail(&request{verb: verbPut, key: key}, ErrInvalid, err)
	}
	// Without checksums: those of the parts that are copied are not known, and so is not that of the whole.
	u := &upload{store: s, key: key, body: body, parts: slices.Clone(p.parts), md5: true, basis: p.basis}
	o.UploadID = ""
	obj, err := u.run(ctx, p.size, o)
	if err != nil && u.id != "" {
		u.abandon(ctx)
	}
	return obj, err
}

// copyPart has the store copy a part of the basis.
func (u *upload) copyPart(ctx context.Context, i int) error {
	p, s := &u.parts[i], u.store
	r := &request{
		verb: verbPartCopy, method: http.MethodPut, key: u.key,
		query: "partNumber=" + strconv.Itoa(i+1) + "&uploadId=" + protocol.EscapeQuery(u.id),
	}
	r.set("X-Amz-Copy-Source", "/"+protocol.EscapeQuery(s.options.S3.Bucket)+"/"+string(protocol.EscapePath(nil, u.basis.Key)))
	r.set("X-Amz-Copy-Source-If-Match", quote(u.basis.ETag))
	r.set("X-Amz-Copy-Source-Range", fmt.Sprintf("bytes=%d-%d", p.offset, p.offset+p.size-1))
	if !s.conditional.Load().Copy {
		if err := s.look(ctx, r, u.basis.Key, Condition{IfMatch: u.basis.ETag}); err != nil {
			return err
		}
	}
	r.document = etagOf(&p.etag)
	if _, err := s.do(ctx, r); err != nil {
		return u.notCopied(err)
	}
	p.done = true
	return nil
}

// notCopied makes one error of the ways in which a store refuses to copy a part; a copy may need rights
// that an upload does not.
func (u *upload) notCopied(err error) error {
	switch {
	case errors.Is(err, ErrUnsupported), errors.Is(err, ErrInvalid):
		if !u.store.noCompose.Swap(true) {
			u.store.log.Warn("the store does not copy parts of objects (UploadPartCopy); changed files are sent as a whole", "event", "s3_no_part_copy", "error", err)
		}
		return err
	case errors.Is(err, ErrAccessDenied):
		return &Error{Op: verbOps[verbPartCopy], Bucket: u.store.options.S3.Bucket, Key: u.key, kind: ErrUnsupported, err: err}
	}
	return err
}
