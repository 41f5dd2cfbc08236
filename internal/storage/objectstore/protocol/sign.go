package protocol

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// UnsignedPayload stands for the body's hash where the connection itself is safe, or the body
// carries a signed checksum.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// emptySHA256 is the hash of no body.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Signer writes the Authorization header of AWS Signature Version 4 ("Create a signed AWS
// API request"). The key that is derived from the secret is good for a day and a region,
// and is kept.
type Signer struct {
	Region  string
	Service string // empty: s3
	derived atomic.Pointer[derivedKey]
}

type derivedKey struct {
	secret, day string
	key         []byte
}

// Field is one header field; Lower is its name as the signature has it.
type Field struct{ Name, Lower, Value string }

// NewField is a field; name is in canonical form.
func NewField(name, value string) Field { return Field{name, strings.ToLower(name), value} }

// Key is what a request is signed with; Token is that of temporary credentials, or empty.
type Key struct{ ID, Secret, Token string }

// Unsigned is a request before it is signed.
type Unsigned struct {
	Method, Host string
	Path, Query  string // in canonical form: EscapePath, EscapeQuery, sorted by name
	Fields       []Field
	PayloadHash  string // hex SHA-256, UnsignedPayload, or empty for no body
}

// Sign adds the fields of the signature to h. All of r's own fields are signed, conditions
// and ranges too: a field that is not signed could be dropped on the way.
func (s *Signer) Sign(h http.Header, r Unsigned, k Key, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	hash := r.PayloadHash
	if hash == "" {
		hash = emptySHA256
	}
	fields := make([]Field, 0, len(r.Fields)+4)
	fields = append(fields, r.Fields...)
	add := func(name, lower, value string) {
		h[name] = []string{value}
		fields = append(fields, Field{name, lower, value})
	}
	add("X-Amz-Content-Sha256", "x-amz-content-sha256", hash)
	add("X-Amz-Date", "x-amz-date", stamp)
	if k.Token != "" {
		add("X-Amz-Security-Token", "x-amz-security-token", k.Token)
	}
	fields = append(fields, Field{Lower: "host", Value: r.Host})
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Lower, b.Lower) })

	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, r.Path...)
	b = append(b, '\n')
	b = append(b, r.Query...)
	b = append(b, '\n')
	for _, f := range fields {
		b = append(b, f.Lower...)
		b = append(b, ':')
		b = append(b, squeeze(f.Value)...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	names := len(b)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, f.Lower...)
	}
	signedHeaders := string(b[names:])
	b = append(b, '\n')
	b = append(b, hash...)
	canonical := sha256.Sum256(b)

	service := cmp.Or(s.Service, "s3")
	scope := day + "/" + s.Region + "/" + service + "/aws4_request"
	b = b[:0]
	b = append(b, "AWS4-HMAC-SHA256\n"...)
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, canonical[:])
	sig := mac(s.key(k.Secret, day), b)

	b = b[:0]
	b = append(b, "AWS4-HMAC-SHA256 Credential="...)
	b = append(b, k.ID...)
	b = append(b, '/')
	b = append(b, scope...)
	b = append(b, ", SignedHeaders="...)
	b = append(b, signedHeaders...)
	b = append(b, ", Signature="...)
	b = hex.AppendEncode(b, sig)
	h["Authorization"] = []string{string(b)}
}

func (s *Signer) key(secret, day string) []byte {
	if d := s.derived.Load(); d != nil && d.secret == secret && d.day == day {
		return d.key
	}
	k := mac([]byte("AWS4"+secret), []byte(day))
	for _, part := range []string{s.Region, cmp.Or(s.Service, "s3"), "aws4_request"} {
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
