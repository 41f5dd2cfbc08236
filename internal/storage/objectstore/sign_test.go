package objectstore

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// checkSignature compares the signature of a request with that of the SDK.
func checkSignature(t *testing.T, s *Store, r *request, c *credentials.Credentials, now time.Time) {
	t.Helper()
	ours := s.build(context.Background(), r, c, now, nil)
	theirs := &http.Request{Method: ours.Method, URL: ours.URL, Host: ours.Host, Header: ours.Header.Clone()}
	for _, h := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "User-Agent"} {
		theirs.Header.Del(h)
	}
	hash := theirs.Header.Get("X-Amz-Content-Sha256")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	creds := aws.Credentials{AccessKeyID: c.AccessKey, SecretAccessKey: c.Secret, SessionToken: c.Token}
	if err := signer.SignHTTP(context.Background(), creds, theirs, hash, "s3", s.options.S3.Region, now); err != nil {
		t.Fatal(err)
	}
	if a, b := ours.Header.Get("Authorization"), theirs.Header.Get("Authorization"); a != b {
		t.Errorf("%s %q %q:\nours   %s\ntheirs %s", r.method, r.key, r.query, a, b)
	}
	if ours.URL.RequestURI() != theirs.URL.RequestURI() {
		t.Errorf("%s became %s", ours.URL.RequestURI(), theirs.URL.RequestURI())
	}
}

func signingStore(t testing.TB, endpoint string) *Store {
	t.Helper()
	o := Options{S3: config.S3{Bucket: "bucket", Region: "eu-west-1", Endpoint: endpoint}}
	o.defaults()
	e, err := protocol.NewEndpoint(o.S3, protocol.Variant{})
	if err != nil {
		t.Fatal(err)
	}
	return &Store{sender: &sender{options: o, endpoint: e, signer: protocol.Signer{Region: o.S3.Region}}}
}

func TestSignatureIsTheSDKs(t *testing.T) {
	now := time.Date(2026, 11, 22, 21, 39, 0, 0, time.FixedZone("elsewhere", 5*3600))
	for _, endpoint := range []string{"", "http://127.0.0.1:9000", "https://s3.example.org", "unix:///run/s"} {
		s := signingStore(t, endpoint)
		for _, token := range []string{"", "token/+=="} {
			c := &credentials.Credentials{AccessKey: "AKID", Secret: "secret/+", Token: token}
			r := &request{method: "GET", key: "users/u/hot/a b+c%/é~\n"}
			r.set("Range", "bytes=0-9")
			r.set("If-Match", `"etag"`)
			checkSignature(t, s, r, c, now)

			r = &request{method: "PUT", key: "k", body: strings.NewReader("x"), size: 1}
			r.set("X-Amz-Meta-Note", "  two  blanks  and more   ")
			r.set("X-Amz-Checksum-Crc32c", "AAAAAA==")
			checkSignature(t, s, r, c, now)

			r = &request{method: "PUT", key: "k", body: strings.NewReader("x"), size: 1, sha256: strings.Repeat("a", 64)}
			checkSignature(t, s, r, c, now.AddDate(0, 0, 1))

			checkSignature(t, s, &request{method: "GET", query: "list-type=2&prefix=" + protocol.EscapeQuery("a/b c+é&=%~")}, c, now)
			checkSignature(t, s, &request{method: "POST", key: "k", query: "uploads="}, c, now)
			checkSignature(t, s, &request{method: "DELETE", key: "k", query: "uploadId=" + protocol.EscapeQuery("a+/=")}, c, now)
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add("key", "value", "etag")
	f.Add("a/../b//c", "a b", "x")
	f.Add("\xff%2F", "+&=", "  y   z ")
	s := signingStore(f, "https://s3.example.org")
	f.Fuzz(func(t *testing.T, key, prefix, header string) {
		if key == "" || key[0] == '/' {
			return
		}
		for _, c := range []byte(header) {
			if c < ' ' || c > '~' {
				return
			}
		}
		r := &request{method: "GET", key: key, query: "prefix=" + protocol.EscapeQuery(prefix)}
		r.set("X-Amz-Meta-A", header)
		checkSignature(t, s, r, &credentials.Credentials{AccessKey: "a", Secret: "b"}, time.Unix(1700000000, 0))
		path := s.endpoint.Path(key)
		if u, err := url.PathUnescape(path); err != nil || u != s.endpoint.Base+key {
			t.Fatalf("the path of %q is %q", key, path)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	s := signingStore(b, "http://127.0.0.1:1")
	c := &credentials.Credentials{AccessKey: "a", Secret: "b"}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r := &request{method: "PUT", key: "users/u/hot/d00/e00/f00000"}
		r.set("X-Amz-Checksum-Crc32c", "AAAAAA==")
		setMetadata(r, map[string]string{"file-permissions": "0100644", "file-mtime": "1732279200123456789ns", "file-owner": "1000", "file-group": "1000", "sandbox-write": "abcdefghijkl"})
		s.build(context.Background(), r, c, now, nil)
	}
}
