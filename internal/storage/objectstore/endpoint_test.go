package objectstore

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
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
	if r := <-requests; r != (seen{"HTTP/1.1", protocol.UnsignedPayload}) {
		t.Errorf("%+v", r)
	}
	s.endpoint.Private = false
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
	b.store.endpoint.Private = false
	for _, size := range []int{0, 100, smallBody + 1, 2*minPart + 1} {
		body := content(size)
		if _, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(size), PutOptions{}); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		b.bucket.Want("k", string(body))
	}
	for _, r := range b.proxy.Requests() {
		if r.Method != "GET" && r.Header.Get("X-Amz-Content-Sha256") == protocol.UnsignedPayload {
			t.Errorf("%s is not signed with its body", r.Verb)
		}
	}
}
