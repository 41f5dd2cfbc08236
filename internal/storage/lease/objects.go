package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Objects keeps leases in S3.
type Objects struct {
	Store *objectstore.Store
}

var _ Store = Objects{}

// Read implements Store.
func (o Objects) Read(ctx context.Context, key string) (stored, error) {
	r, err := o.Store.Get(ctx, key, objectstore.GetOptions{Unchecked: true}) // JSON of ours, or not
	if errors.Is(err, objectstore.ErrNotFound) {
		return stored{}, fmt.Errorf("%w: %w", errNoLease, err)
	}
	if err != nil {
		return stored{}, err
	}
	defer r.Close()
	s := stored{etag: r.ETag, modified: r.LastModified, date: r.Date}
	if r.Size > maxRecord {
		return s, nil // no lease of ours: unknown whose
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return stored{}, err
	}
	if s.record, err = decode(body); err != nil {
		s.record = record{}
	}
	return s, nil
}

// Write implements Store.
func (o Objects) Write(ctx context.Context, key string, body []byte, etag string) (string, error) {
	written, err := o.Store.Put(ctx, key, bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{
		Condition: objectstore.Condition{IfMatch: etag, IfNoneMatch: etag == "", Atomic: true},
	})
	return written.ETag, changed(err)
}

// Remove implements Store.
func (o Objects) Remove(ctx context.Context, key, etag string, released []byte) error {
	if !o.Store.Conditional().Delete {
		_, err := o.Write(ctx, key, released, etag)
		return err
	}
	return changed(o.Store.Delete(ctx, key, objectstore.Condition{IfMatch: etag, Atomic: true}))
}

// changed makes an errChanged of a condition that did not hold. For If-Match on an object
// that is not there S3 answers 404 ("Conditional writes").
func changed(err error) error {
	if errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}
