package objectstore

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// TestTLS: HTTP/1.1, though the server offers more; bodies are not hashed for the signature
// where the connection is safe, and are where it is not.
func TestTLS(t *testing.T) {
	type seen struct{ proto, hash string }
	requests := make(chan seen, 10)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests <- seen{r.Proto, r.Header.Get("X-Amz-Content-Sha256")}
		w.Header().Set("Etag", `"e"`)
	})
	srv := httptest.NewUnstartedServer(handler)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	env := wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}}
	s := open(t, config.S3{Bucket: "bbb", Endpoint: srv.URL}, env)
	s.transport.(*http.Transport).TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	s.transport.(*http.Transport).TLSClientConfig.NextProtos = nil
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), 1, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := <-requests; r != (seen{"HTTP/1.1", unsigned}) {
		t.Errorf("%+v", r)
	}
	s.endpoint.private = false
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), 1, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := <-requests; r != (seen{"HTTP/1.1", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}) {
		t.Errorf("%+v", r)
	}
}

// TestSignedBodies: what is hashed for the signature is what the server receives, in each form.
func TestSignedBodies(t *testing.T) {
	b := newBench(t, smallParts)
	b.store.endpoint.private = false
	for _, size := range []int{0, 100, smallBody + 1, 2*minPart + 1} {
		body := content(size)
		if _, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(size), PutOptions{}); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		b.bucket.Want("k", string(body))
	}
	for _, r := range b.proxy.Requests() {
		if r.Method != "GET" && r.Header.Get("X-Amz-Content-Sha256") == unsigned {
			t.Errorf("%s is not signed with its body", r.Verb)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		s3      config.S3
		url     string // of key "a b"
		private bool
	}{
		{config.S3{Bucket: "my-bucket", Region: "eu-west-1"}, "https://my-bucket.s3.eu-west-1.amazonaws.com/a%20b", true},
		{config.S3{Bucket: "my.bucket", Region: "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/my.bucket/a%20b", true},
		{config.S3{Bucket: "My_Old_Bucket", Region: "us-east-1"}, "https://s3.us-east-1.amazonaws.com/My_Old_Bucket/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-east-1", ForcePathStyle: true}, "https://s3.us-east-1.amazonaws.com/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "cn-north-1"}, "https://bbb.s3.cn-north-1.amazonaws.com.cn/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-gov-west-1"}, "https://bbb.s3.us-gov-west-1.amazonaws.com/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-isob-east-1"}, "https://bbb.s3.us-isob-east-1.sc2s.sgov.gov/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-iso-east-1"}, "https://bbb.s3.us-iso-east-1.c2s.ic.gov/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "eusc-de-east-1"}, "https://bbb.s3.eusc-de-east-1.amazonaws.eu/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org"}, "https://bbb.s3.example.org/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org/", ForcePathStyle: true}, "https://s3.example.org/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://s3.example.org:9000", ForcePathStyle: true}, "http://s3.example.org:9000/bbb/a%20b", false},
		{config.S3{Bucket: "bbb", Endpoint: "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://[::1]:9000"}, "http://[::1]:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://10.0.0.1"}, "http://10.0.0.1/bbb/a%20b", false},
		{config.S3{Bucket: "bbb", Endpoint: "http://localhost:9000"}, "http://localhost:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "unix:///run/x/s.sock"}, "http://localhost/bbb/a%20b", true},
	} {
		e, err := newEndpoint(c.s3)
		if got := e.scheme + "://" + e.host + e.path("a b"); err != nil || got != c.url || e.private != c.private {
			t.Errorf("%+v: %s, private %v, %v; want %s", c.s3, got, e.private, err, c.url)
		}
		if e.path("") == "" || strings.HasSuffix(e.path(""), "//") {
			t.Errorf("%+v: the bucket is at %q", c.s3, e.path(""))
		}
	}
	for _, c := range []config.S3{
		{Bucket: "bbb", Endpoint: "s3.example.org"}, {Bucket: "bbb", Endpoint: "ftp://x"}, {Bucket: "bbb", Endpoint: "https://"},
		{Bucket: "bbb", Endpoint: "https://x/base"}, {Bucket: "bbb", Endpoint: "https://user:pw@x"}, {Bucket: "bbb", Endpoint: "unix://relative"},
		{Bucket: "bbb", Endpoint: "unix:"}, {Bucket: "bbb", Endpoint: "https://x?y"}, {Bucket: "bbb", Endpoint: "http://[::1"},
		{Bucket: "b--use1-az4--x-s3", Region: "us-east-1"},
	} {
		if e, err := newEndpoint(c); err == nil || !strings.Contains(err.Error(), "S3_") {
			t.Errorf("%+v: %+v, %v; want an error that names the variable", c, e, err)
		}
	}
}
