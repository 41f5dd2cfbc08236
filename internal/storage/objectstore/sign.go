package objectstore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// unsigned stands for the body's hash where the connection itself is safe, or the body
// carries a signed checksum.
const unsigned = "UNSIGNED-PAYLOAD"

// emptySHA256 is the hash of no body.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// signer writes the Authorization header of AWS Signature Version 4 ("Create a signed AWS
// API request"). The key that is derived from the secret is good for a day and a region,
// and is kept.
type signer struct {
	region  string
	derived atomic.Pointer[derivedKey]
}

type derivedKey struct {
	secret, day string
	key         []byte
}

// sign adds the fields of the signature to h. All of r's own fields are signed, conditions
// and ranges too: what is not signed could be dropped on the way.
func (s *signer) sign(h http.Header, r *request, c *Credentials, host, path string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	hash := r.sha256
	if hash == "" {
		hash = emptySHA256
		if r.body != nil {
			hash = unsigned
		}
	}
	fields := make([]field, 0, len(r.header)+4)
	fields = append(fields, r.header...)
	add := func(name, lower, value string) {
		h[name] = []string{value}
		fields = append(fields, field{name, lower, value})
	}
	add("X-Amz-Content-Sha256", "x-amz-content-sha256", hash)
	add("X-Amz-Date", "x-amz-date", stamp)
	if c.Token != "" {
		add("X-Amz-Security-Token", "x-amz-security-token", c.Token)
	}
	fields = append(fields, field{lower: "host", value: host})
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.lower, b.lower) })

	b := make([]byte, 0, 1024)
	b = append(b, r.method...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	b = append(b, r.query...)
	b = append(b, '\n')
	for _, f := range fields {
		b = append(b, f.lower...)
		b = append(b, ':')
		b = append(b, squeeze(f.value)...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	names := len(b)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, f.lower...)
	}
	signedHeaders := string(b[names:])
	b = append(b, '\n')
	b = append(b, hash...)
	canonical := sha256.Sum256(b)

	scope := day + "/" + s.region + "/s3/aws4_request"
	b = b[:0]
	b = append(b, "AWS4-HMAC-SHA256\n"...)
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, canonical[:])
	sig := mac(s.key(c.Secret, day), b)

	b = b[:0]
	b = append(b, "AWS4-HMAC-SHA256 Credential="...)
	b = append(b, c.AccessKey...)
	b = append(b, '/')
	b = append(b, scope...)
	b = append(b, ", SignedHeaders="...)
	b = append(b, signedHeaders...)
	b = append(b, ", Signature="...)
	b = hex.AppendEncode(b, sig)
	h["Authorization"] = []string{string(b)}
}

func (s *signer) key(secret, day string) []byte {
	if d := s.derived.Load(); d != nil && d.secret == secret && d.day == day {
		return d.key
	}
	k := mac([]byte("AWS4"+secret), []byte(day))
	for _, part := range []string{s.region, "s3", "aws4_request"} {
		k = mac(k, []byte(part))
	}
	s.derived.Store(&derivedKey{secret, day, k})
	return k
}

func mac(key, data []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// squeeze is the canonical form of a field's value: without blanks around it, and one blank for each row of them.
func squeeze(v string) string {
	if !strings.Contains(v, "  ") {
		return strings.Trim(v, " ")
	}
	return strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' }), " ")
}
