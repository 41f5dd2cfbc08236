package objectstore

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
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
	verbPartCopy
	verbListParts
	verbComplete
	verbAbort
	verbs
)

var verbNames = [verbs]string{"GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "CREATE", "PART", "PARTCOPY", "LISTPARTS", "COMPLETE", "ABORT"}

var verbOps = [verbs]string{"read", "look up", "list", "write", "copy to", "delete", "begin to write", "write a part of", "copy a part to", "look up the parts of", "complete", "give up"}

// slow are the verbs that a store may take its time to answer, since it moves the
// content of whole objects meanwhile.
func (v verb) slow() bool { return v == verbCopy || v == verbPartCopy || v == verbComplete }

// request is one call of the protocol, good for any number of attempts.
type request struct {
	verb   verb
	method string
	key    string // empty: the bucket
	query  string // in canonical form: sorted by name, encoded by protocol.EscapeQuery
	header []protocol.Field
	body   io.ReaderAt // nil: none
	size   int64       // of body
	sha256 string      // hex SHA-256 of the body, where the endpoint wants it signed

	// document reads the body of a 2xx, which must be a complete document; an error means that
	// it did not arrive as it was sent, and the request is sent again.
	document func(body []byte) error

	once      bool   // what may be chance is not tried again
	subject   string // in errors, when it is not the key
	attempts  int    // requests sent so far
	stalls    int    // of them, those that were given up because nothing moved
	ambiguous bool   // one of them may have arrived though its answer did not
}

// longerWaits is how often an attempt that stalled doubles the time of the next one.
const longerWaits = 3

// stallLimit is how long the connection of the next attempt may move nothing.
func (r *request) stallLimit(limit time.Duration) time.Duration {
	if r.verb.slow() {
		return 20 * limit
	}
	return limit << min(r.stalls, longerWaits)
}

func (r *request) set(name, value string) {
	r.header = append(r.header, protocol.NewField(name, value))
}

// payloadHash is what the signature says of the body.
func (r *request) payloadHash() string {
	if r.sha256 == "" && r.body != nil {
		return protocol.UnsignedPayload
	}
	return r.sha256
}

// build makes an attempt's http.Request. Host and URL are set by hand: url.Parse and its
// re-encoding cost as much as the signature, and would normalise what must stay as it is.
func (s *sender) build(ctx context.Context, r *request, c *credentials.Credentials, now time.Time, body io.ReadCloser) *http.Request {
	path := s.endpoint.Path(r.key)
	h := make(http.Header, len(r.header)+6)
	for _, f := range r.header {
		h[f.Name] = []string{f.Value}
	}
	h["User-Agent"] = userAgent
	if !c.Anonymous() {
		s.signer.Sign(h, protocol.Unsigned{
			Method: r.method, Host: s.endpoint.Host, Path: path, Query: r.query, Fields: r.header, PayloadHash: r.payloadHash(),
		}, c.Key(), now)
	}
	u := &url.URL{Scheme: s.endpoint.Scheme, Host: s.endpoint.Host, Opaque: path, RawQuery: r.query}
	req := &http.Request{
		Method: r.method, URL: u, Host: s.endpoint.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body, ContentLength: r.size,
	}
	return req.WithContext(ctx)
}

var userAgent = []string{"matrx-sandbox"}
