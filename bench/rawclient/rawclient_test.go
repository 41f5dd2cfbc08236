package rawclient

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestMovesWhatItSays: a yardstick that leaves things out would flatter itself.
func TestMovesWhatItSays(t *testing.T) {
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	for _, endpoint := range []string{srv.Endpoint, srv.Socket} {
		c := New(Options{Endpoint: endpoint, Bucket: b.Name, AccessKey: srv.AccessKey, SecretKey: srv.SecretKey, PartSize: 5 << 20})
		defer c.Close()
		src, dst := t.TempDir(), t.TempDir()
		testbed.SmallTree(t, src, 1300, 26, 100)
		if s, err := c.Upload(t.Context(), src, "tree/"); err != nil || s.Objects != 1300 || s.Bytes != 130_000 {
			t.Fatalf("%+v, %v", s, err)
		}
		if e, err := c.List(t.Context(), "tree/"); err != nil || len(e) != 1300 {
			t.Fatalf("%d keys, %v", len(e), err)
		}
		if s, err := c.Download(t.Context(), "tree/", dst); err != nil || s.Objects != 1300 || s.Bytes != 130_000 {
			t.Fatalf("%+v, %v", s, err)
		}
		testbed.WantTree(t, testbed.Scan(t, src), testbed.Scan(t, dst), testbed.Ignore{Mtime: true})

		file, back := filepath.Join(src, "large"), filepath.Join(dst, "large")
		body := make([]byte, 12<<20+5)
		for i := range body {
			body[i] = byte(i * i >> 7)
		}
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UploadFile(t.Context(), file, "large"); err != nil {
			t.Fatal(err)
		}
		b.Want("large", string(body))
		if _, err := c.DownloadFile(t.Context(), "large", back, int64(len(body))); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(back); err != nil || string(got) != string(body) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		if s, err := c.Sequential(t.Context(), "large"); err != nil || s.Bytes != int64(len(body)) {
			t.Errorf("%+v, %v", s, err)
		}
		if s, err := c.Random(t.Context(), "large", int64(len(body)), 20, 4096); err != nil || s.Bytes != 20*4096 {
			t.Errorf("%+v, %v", s, err)
		}
		if s, err := c.Delete(t.Context(), ""); err != nil || s.Objects != 1301 {
			t.Errorf("%+v, %v", s, err)
		}
	}
}
