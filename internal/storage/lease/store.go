package lease

import (
	"context"
	"errors"
)

// Store is what a lease needs of S3.
type Store interface {
	// Read returns the lease's object, or an error that wraps errNoLease.
	Read(ctx context.Context, key string) (stored, error)
	// Write puts body where the object's ETag is etag, or, when etag is "", where there is
	// none. An error that wraps errChanged says that it is not so.
	Write(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
	// Remove deletes the object if its ETag is etag. Where a DELETE cannot be conditional it
	// writes released there instead.
	Remove(ctx context.Context, key string, etag string, released []byte) error
}

// errNoLease says that there is no such object.
var errNoLease = errors.New("there is no lease")

// errChanged says that the object is not the one that the write was to replace.
var errChanged = errors.New("the lease was written by another sandbox")
