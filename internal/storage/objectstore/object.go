package objectstore

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// Object is what the store says of an object.
type Object struct {
	Key          string
	ETag         string // without quotes; names a version of the content
	Size         int64
	LastModified time.Time         // whole seconds; zero after a write
	Metadata     map[string]string // lower-case keys without "x-amz-meta-"; nil in listings
	Date         time.Time         // the Date header of the response: the server's clock

	// Ambiguous says of a write that an earlier attempt was not answered: the server may
	// still be at it, and finish it after others.
	Ambiguous bool

	checksum protocol.Checksum // of the whole content, when the store said one
}

// Entry is one line of a listing: an object without its metadata, or a common prefix.
type Entry struct {
	Object
	Prefix string // when not empty, this is a common prefix and Object is zero
}

// Condition restricts a write. The zero Condition restricts nothing.
type Condition struct {
	IfMatch     string // the ETag that the key must have now
	IfNoneMatch bool   // the key must not exist

	// Atomic: the store itself decides. Without it, a condition that the store refuses though it
	// holds is replaced by a look at the object just before.
	Atomic bool
}

// IsZero says that nothing is restricted.
func (c Condition) IsZero() bool { return c.IfMatch == "" && !c.IfNoneMatch }

func (s *Store) setCondition(r *request, c Condition) {
	switch {
	case c.IfMatch != "" && s.dialect.bareETags.Load():
		r.set("If-Match", c.IfMatch)
	case c.IfMatch != "":
		r.set("If-Match", quote(c.IfMatch))
	case c.IfNoneMatch:
		r.set("If-None-Match", "*")
	}
}

// quote makes an entity tag of a bare one (RFC 9110, 8.8.3).
func quote(etag string) string { return `"` + etag + `"` }

// bare strips the quotes, which some stores leave out in listings.
func bare(etag string) string { return strings.Trim(etag, `"`) }

const metaPrefix = "X-Amz-Meta-"

// objectOf reads the headers of a response to GET or HEAD.
func (s *Store) objectOf(key string, h http.Header) Object {
	o := Object{Key: key, ETag: bare(h.Get("Etag")), Size: -1, Date: date(h, "Date"), LastModified: date(h, "Last-Modified")}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		o.Size = n
	}
	if r := h.Get("Content-Range"); r != "" { // bytes 0-99/1234
		if _, total, ok := strings.Cut(r, "/"); ok {
			if n, err := strconv.ParseInt(total, 10, 64); err == nil {
				o.Size = n
			}
		}
	}
	if !s.dialect.untrusted.Load() {
		o.checksum = protocol.ChecksumOf(h)
	}
	for k, v := range h {
		if name, ok := strings.CutPrefix(k, metaPrefix); ok {
			if o.Metadata == nil {
				o.Metadata = make(map[string]string, 6)
			}
			o.Metadata[strings.ToLower(name)] = strings.Join(v, ",")
		}
	}
	return o
}

func date(h http.Header, name string) time.Time {
	v := h.Get(name)
	if v == "" {
		return time.Time{}
	}
	t, _ := http.ParseTime(v)
	return t
}
