package cold

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// newFS is an FS in this process, without a mount and without objects.
func newFS(t *testing.T) *FS {
	t.Helper()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	c := &config.Config{SandboxID: "sb", UserID: "u1", ColdPath: "/data/cold", StateDir: t.TempDir()}
	c.S3 = config.S3{Bucket: "b", Region: "r", Endpoint: srv.URL, Prefix: "users/", ForcePathStyle: true}
	c.Cold = config.Cold{MetadataTTL: time.Minute, CacheMaxBytes: 1 << 20}
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: c.S3, Credentials: wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := New(Options{Config: c, Store: store, Fence: lease.None{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

// TestListingsOverlap: a directory may be listed by itself while a walk goes through it. What either
// has seen is there when the other ends, and what both have not seen is gone.
func TestListingsOverlap(t *testing.T) {
	t.Parallel()
	fs := newFS(t)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	began := func() *listing {
		fs.listings.pass++
		return &listing{in: fs.listings, top: fs.tree.root, prefix: fs.prefix, pass: fs.listings.pass, ops: fs.changes.ops, began: time.Now(), moves: fs.tree.moves}
	}
	see := func(l *listing, names ...string) {
		for _, n := range names {
			l.add(&objectstore.Entry{Object: objectstore.Object{Key: fs.prefix + n, ETag: "e", Size: 1, LastModified: time.Unix(1, 0)}})
		}
	}
	first := began()
	see(first, "a", "b", "gone", "sub/x")
	first.leave(0)
	first.complete(fs.tree.root)
	for _, laterEndsFirst := range []bool{true, false} {
		older := began()
		newer := began()
		see(older, "a")
		see(newer, "a", "b", "sub/x")
		see(older, "b", "sub/x")
		ends := []*listing{older, newer}
		if laterEndsFirst {
			ends = []*listing{newer, older}
		}
		for _, l := range ends {
			l.leave(0)
			l.complete(fs.tree.root)
			for _, n := range []string{"a", "b", "sub"} {
				if fs.tree.root.dir.child(n) == nil {
					t.Fatalf("%q is gone when one of two listings that saw it ends; the later one ended first: %v", n, laterEndsFirst)
				}
			}
			if fs.tree.root.dir.child("sub").dir.child("x") == nil {
				t.Fatal("sub/x is gone")
			}
		}
		if fs.tree.root.dir.child("gone") != nil {
			t.Error("what neither saw is there")
		}
	}
}
