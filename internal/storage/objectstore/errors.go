package objectstore

import (
	"errors"
	"fmt"
	"strings"
)

// What can go wrong, for errors.Is.
var (
	ErrNotFound           = errors.New("not found")
	ErrPrecondition       = errors.New("it is not the version that was expected")
	ErrAccessDenied       = errors.New("access denied")
	ErrArchived           = fmt.Errorf("%w: the object is archived", ErrAccessDenied)
	ErrNoBucket           = errors.New("the bucket does not exist")
	ErrWrongRegion        = errors.New("the bucket is in another region")
	ErrExpiredCredentials = errors.New("the credentials have expired")
	ErrBadCredentials     = errors.New("the credentials are not valid")
	ErrClockSkew          = errors.New("the clock is wrong")
	ErrChecksum           = errors.New("the content does not match its checksum")
	ErrEndpoint           = errors.New("the endpoint is no S3 server that can be trusted")
	errNoUpload           = errors.New("the multipart upload does not exist any more")
	ErrTooLarge           = errors.New("larger than S3 allows")
	ErrUnavailable        = errors.New("the store does not answer properly") // passing
	ErrUnsupported        = errors.New("the store does not support this")
	ErrInvalid            = errors.New("the store refuses the request as invalid")
)

// Error is a request that failed for good. Its text is a sentence for a person: what could
// not be done, to what, why, and what mends it.
type Error struct {
	Op        string // "read", "write", "copy", "delete", "list", "look up", ...
	Bucket    string
	Key       string // or the prefix of a listing; empty: the bucket as a whole
	Code      string // the server's, "SlowDown"; empty when it sent none
	Message   string // the server's
	Status    int    // HTTP; 0: there was no response
	RequestID string // the server's
	Hint      string // what to do
	Attempts  int    // requests sent; 0: none was

	kind error // one of the Err values
	err  error // below: of the network, of the context
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot %s %q in s3://%s", e.Op, e.Key, e.Bucket)
	if e.Key == "" {
		b.Reset()
		fmt.Fprintf(&b, "cannot %s s3://%s", e.Op, e.Bucket)
	}
	if e.kind != nil {
		fmt.Fprintf(&b, ": %v", e.kind)
	}
	if e.err != nil {
		fmt.Fprintf(&b, ": %v", e.err)
	}
	if d := e.detail(); d != "" {
		fmt.Fprintf(&b, " (%s)", d)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

func (e *Error) detail() string {
	var d []string
	if e.Status != 0 {
		d = append(d, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Status, e.Code)))
	}
	if e.Message != "" {
		d = append(d, fmt.Sprintf("%q", e.Message))
	}
	if e.RequestID != "" {
		d = append(d, "request "+e.RequestID)
	}
	if e.Attempts > 1 {
		d = append(d, fmt.Sprintf("%d attempts", e.Attempts))
	}
	return strings.Join(d, ", ")
}

// Unwrap gives the Err value, and what lies below (context.DeadlineExceeded, a net.Error).
func (e *Error) Unwrap() []error {
	var u []error
	if e.kind != nil {
		u = append(u, e.kind)
	}
	if e.err != nil {
		u = append(u, e.err)
	}
	return u
}
