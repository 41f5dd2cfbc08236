package objectstore

import (
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// A host says on its socket what its store honours, and the store is not asked. No other server is believed.
func TestHostIsBelievedAndNoOtherServer(t *testing.T) {
	for name, network := range map[string]string{"the host's socket": "unix", "a server": "tcp"} {
		t.Run(name, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s3.sock")
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int64
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set(contract.HostStoreHeader, "PUT COMPLETE")
				_, _ = w.Write([]byte(`<ListBucketResult></ListBucketResult>`))
			})}
			go server.Serve(l)
			defer server.Close()
			endpoint := "unix://" + address
			if network == "tcp" {
				endpoint = "http://" + l.Addr().String()
			}
			s, err := Open(t.Context(), Options{S3: config.S3{Endpoint: endpoint, Bucket: "bucket-1"}, Credentials: wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Check(t.Context(), "users/u/"); err != nil {
				t.Fatal(err)
			}
			if network == "tcp" {
				if s.told.Load() != nil {
					t.Error("it is believed")
				}
				return
			}
			c, err := s.Probe(t.Context(), "users/u/.sandbox/probe-")
			if err != nil || !slices.Equal(c.Verbs(), []string{"PUT", "COMPLETE"}) || s.Conditional() != c || asked.Load() != 1 {
				t.Errorf("it finds %q, %v, by %d requests", c.Verbs(), err, asked.Load())
			}
		})
	}
}
