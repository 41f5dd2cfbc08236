package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/hostd/s3grammar"
)

// Scope is the part of a store that one sandbox may reach.
type Scope struct {
	Bucket string
	Prefix string // ends in "/"; every key begins with it
}

// request is what a client asks for, decoded and found to be within the scope.
type request struct {
	operation
	key    string // empty: the bucket itself
	params url.Values
	source string // the key to copy from, empty when nothing is copied
}

// admit decodes a request and checks it against the scope.
func (s Scope) admit(r *http.Request) (request, *refusal) {
	bucket, key, hasKey := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != s.Bucket {
		return request{}, denied("the bucket %q is not the sandbox's", bucket)
	}
	hasKey = hasKey && key != ""
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query cannot be decoded: %v", err)
	}
	op, refused := find(r.Method, hasKey, params)
	if refused != nil {
		return request{}, refused
	}
	q := request{operation: op, key: key, params: params}
	if hasKey {
		if why := s.outside(key); why != "" {
			return request{}, denied("the key %q %s", key, why)
		}
	}
	if op.lists {
		if p := params.Get("prefix"); !strings.HasPrefix(p, s.Prefix) {
			return request{}, denied("the prefix %q is outside %q", p, s.Prefix)
		}
	}
	if refused := checkHeaders(r.Header); refused != nil {
		return request{}, refused
	}
	if source := r.Header.Values("X-Amz-Copy-Source"); len(source) > 0 {
		if !op.copies || len(source) > 1 {
			return request{}, denied("%s with %d copy sources", op.name, len(source))
		}
		if q.source, refused = s.copySource(source[0]); refused != nil {
			return request{}, refused
		}
	}
	return q, nil
}

// outside says why a key is not within the scope; "" when it is.
func (s Scope) outside(key string) string {
	if !strings.HasPrefix(key, s.Prefix) {
		return fmt.Sprintf("is outside %q", s.Prefix)
	}
	if err := s3grammar.Key(key); err != nil {
		return err.Error()
	}
	return ""
}

// probes says whether a key is that of an object with which the sandbox finds out what the store honours.
func (s Scope) probes(key string) bool { return strings.HasPrefix(key, s.Prefix+contract.ProbePrefix) }

// copySource decodes x-amz-copy-source, /BUCKET/KEY in percent-encoding (S3 API
// reference, CopyObject). A version or an access point's ARN is refused.
func (s Scope) copySource(header string) (string, *refusal) {
	source, query, _ := strings.Cut(header, "?")
	if query != "" {
		return "", denied("a copy source with %q", query)
	}
	source, err := url.PathUnescape(source)
	if err != nil {
		return "", badRequest("the copy source %q cannot be decoded: %v", header, err)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(source, "/"), "/")
	if bucket != s.Bucket {
		return "", denied("the copy source's bucket %q is not the sandbox's", bucket)
	}
	if why := s.outside(key); why != "" {
		return "", denied("the copy source %q %s", key, why)
	}
	return key, nil
}

// escape encodes a key as S3 wants it: every byte but the unreserved ones and "/"
// (Signature Version 4, "URI-encode").
func escape(key string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
