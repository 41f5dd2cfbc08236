package objectstore

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// verb names a kind of request in the counters and says how an error words it.
type verb int

const (
	verbGet verb = iota
	verbHead
	verbList
	verbPut
	verbCopy
	verbDelete
	verbCreate
	verbPart
	verbListParts
	verbComplete
	verbAbort
	verbs
)

var verbNames = [verbs]string{"GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "CREATE", "PART", "LISTPARTS", "COMPLETE", "ABORT"}

var verbOps = [verbs]string{"read", "look up", "list", "write", "copy to", "delete", "begin to write", "write a part of", "look up the parts of", "complete", "give up"}

// slow are the verbs that a store may take its time to answer, since it moves the
// content of whole objects meanwhile.
func (v verb) slow() bool { return v == verbCopy || v == verbComplete }

// request is one call of the protocol, good for any number of attempts.
type request struct {
	verb   verb
	method string
	key    string // empty: the bucket
	query  string // in canonical form: sorted by name, encoded by escapeQuery
	header []field
	body   io.ReaderAt // nil: none
	size   int64       // of body
	sha256 string      // hex SHA-256 of the body, where the endpoint wants it signed

	// document reads the body of a 2xx, which must be a complete document; an error means that
	// it did not arrive as it was sent, and the request is sent again.
	document func(body []byte) error

	subject   string // in errors, when it is not the key
	attempts  int    // requests sent so far
	ambiguous bool   // one of them may have arrived though its answer did not
}

// field is one header field; lower is its name as the signature has it.
type field struct{ name, lower, value string }

func (r *request) set(name, value string) {
	r.header = append(r.header, field{name, strings.ToLower(name), value})
}

// build makes an attempt's http.Request. Host and URL are set by hand: url.Parse and its
// re-encoding cost as much as the signature, and would normalise what must stay as it is.
func (s *Store) build(ctx context.Context, r *request, c *Credentials, now time.Time, body io.ReadCloser) *http.Request {
	path := s.endpoint.path(r.key)
	h := make(http.Header, len(r.header)+6)
	for _, f := range r.header {
		h[f.name] = []string{f.value}
	}
	h["User-Agent"] = userAgent
	if !c.anonymous() {
		s.signer.sign(h, r, c, s.endpoint.host, path, now)
	}
	u := &url.URL{Scheme: s.endpoint.scheme, Host: s.endpoint.host, Opaque: path, RawQuery: r.query}
	req := &http.Request{
		Method: r.method, URL: u, Host: s.endpoint.host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body, ContentLength: r.size,
	}
	return req.WithContext(ctx)
}

var userAgent = []string{"matrx-sandbox"}

// escapePath encodes a key for the path of a URL: all but unreserved characters and "/"
// (RFC 3986, 2.3; "Create a signed AWS API request", URI encode).
func escapePath(b []byte, key string) []byte { return appendEscaped(b, key, true) }

// escapeQuery encodes a value of a query: all but unreserved characters.
func escapeQuery(v string) string { return string(appendEscaped(make([]byte, 0, len(v)+8), v, false)) }

func appendEscaped(b []byte, s string, slash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/' && slash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
