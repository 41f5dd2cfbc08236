package objectstore

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// dialect is how a store wants to be spoken to where stores differ. It begins as S3's own; a
// piece of it changes once the store has refused that piece and taken the same request without
// it, or in the other form.
type dialect struct {
	// md5: writes carry Content-MD5, not x-amz-checksum-crc32c.
	md5 atomic.Bool
	// plainReads: reads carry no x-amz-checksum-mode (Backblaze B2 answers 400 to it).
	plainReads atomic.Bool
	// untrusted: the store does not verify x-amz-checksum of what is written, so what it says of it later
	// proves nothing: gofakes3 keeps that of an earlier version.
	untrusted atomic.Bool
	// bareETags: If-Match on a write is compared without the quotes (Ceph radosgw 16).
	bareETags atomic.Bool
	// etags: the ETag in the answer to a Copy or a Complete is the one that the object then has.
	etags agreement
	// checksums is how much of them a multipart upload carries.
	checksums atomic.Int32
}

// What a multipart upload carries of checksums beside those of its parts. Stores before 2025 know
// composite checksums alone; some know none in the list of parts.
const (
	wholeChecksum int32 = iota // that of the whole content, and the list has those of the parts
	partChecksums              // the list has those of the parts
	noChecksums                // nothing: each part was verified when it came
)

// refusesForm says that a refusal may be one of an optional piece of the request.
func refusesForm(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (errors.Is(e.kind, ErrInvalid) || errors.Is(e.kind, ErrUnsupported) || errors.Is(e.kind, ErrChecksum) || e.Code == "InvalidPart")
}

// readChecked sends a read that asks for the object's checksum; where the store refuses that, it is
// sent without, and so are all that follow.
func (s *Store) readChecked(ctx context.Context, r *request) (*response, error) {
	if s.dialect.plainReads.Load() {
		return s.do(ctx, r)
	}
	checked := *r
	checked.set("X-Amz-Checksum-Mode", "ENABLED")
	resp, err := s.do(ctx, &checked)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status != http.StatusBadRequest && e.Status != http.StatusNotImplemented {
		return resp, err
	}
	resp, plain := s.do(ctx, r)
	if plain != nil {
		return nil, err // it was something else
	}
	if !s.dialect.plainReads.Swap(true) {
		s.log.Warn("the store refuses x-amz-checksum-mode; reads go without it, and cannot be checked", "event", "s3_no_checksums")
	}
	return resp, nil
}

// insist sends a conditional write. A store that refuses a condition which holds (the object has the
// very ETag that was asked for) is asked once more, since another write may have come and gone,
// and then like one that knows no conditions: the look before has just been made.
func (s *Store) insist(ctx context.Context, key string, c Condition, send func(Condition) (Object, error)) (Object, error) {
	holds := func(err error) bool {
		if c.IfMatch == "" || c.Atomic || !errors.Is(err, ErrPrecondition) {
			return false
		}
		now, err := s.Head(ctx, key)
		return err == nil && now.ETag == c.IfMatch
	}
	o, err := send(c)
	if !holds(err) {
		return o, err
	}
	if o, err = send(c); !holds(err) {
		return o, err
	}
	s.log.Warn("the store refuses a condition that holds; the object was looked up in its place", "event", "s3_condition_refused", "key", key)
	return send(Condition{})
}

// agreement is whether two things agree, once that is known.
type agreement struct{ v atomic.Int32 }

const (
	agree    int32 = 1
	disagree int32 = 2
)

// settled is what a Copy or a Complete has written, with the ETag that the object has. The answers of some
// stores (gofakes3) have another, under which no condition would hold later: the first one is compared
// with a HEAD, and where they differ all are.
func (s *Store) settled(ctx context.Context, o Object) Object {
	id := o.Metadata[posixattr.WriteIDKey]
	if id == "" || s.dialect.etags.v.Load() == agree {
		return o
	}
	now, err := s.Head(ctx, o.Key)
	if err != nil || now.Metadata[posixattr.WriteIDKey] != id {
		return o // another's write has followed
	}
	if now.ETag == o.ETag {
		s.dialect.etags.v.CompareAndSwap(0, agree)
		return o
	}
	s.dialect.etags.v.Store(disagree)
	o.ETag = now.ETag
	return o
}
