package hydrate

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// put stores a file as the sync would.
func (h *home) put(path, content string) {
	h.t.Helper()
	h.bucket.Put(h.key(path), content, posixattr.Encode(posixattr.Attr{Mode: 0o100644, Mtime: 1_700_000_000_000_000_001}, ""))
}

func (h *home) key(path string) string {
	h.t.Helper()
	isDir := strings.HasSuffix(path, "/")
	k, err := posixattr.KeyWithPrefix(h.cfg.HotPrefix(), strings.TrimSuffix(path, "/"), isDir)
	must(h.t, err)
	return k
}

func (h *home) at(path string) string { return filepath.Join(h.path, path) }

// write changes a file of the home so that its stat shows it.
func (h *home) write(path, content string) {
	h.t.Helper()
	must(h.t, os.MkdirAll(filepath.Dir(h.at(path)), 0o755))
	must(h.t, os.WriteFile(h.at(path), []byte(content), 0o644))
}

// want fails the test unless the file has the content; "" wants no file.
func (h *home) want(path, content string) {
	h.t.Helper()
	b, err := os.ReadFile(h.at(path))
	switch {
	case content == "" && errors.Is(err, fs.ErrNotExist):
	case err != nil || string(b) != content:
		h.t.Errorf("%q is %q (%v), want %q", path, b, err, content)
	}
}

// wantConflict fails the test unless there is exactly one conflict copy of path, with
// that content; "" wants none.
func (h *home) wantConflict(path, content string) {
	h.t.Helper()
	found, err := filepath.Glob(h.at(path) + ".conflict-sb-*")
	must(h.t, err)
	if content == "" {
		if len(found) > 0 {
			h.t.Errorf("there are conflict copies: %q", found)
		}
		return
	}
	if len(found) != 1 {
		h.t.Errorf("%d conflict copies of %q, want one", len(found), path)
		return
	}
	b, err := os.ReadFile(found[0])
	if err != nil || string(b) != content {
		h.t.Errorf("the conflict copy of %q is %q (%v), want %q", path, b, err, content)
	}
}

// upload stores a tree as the sync would.
func (h *home) upload(root string, nodes testbed.Tree) {
	h.t.Helper()
	store := h.store()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(32)
	for path, n := range nodes {
		isDir := n.IsDir()
		key, err := posixattr.KeyWithPrefix(h.cfg.HotPrefix(), path, isDir)
		must(h.t, err)
		g.Go(func() error {
			var content []byte
			var err error
			switch {
			case n.IsSymlink():
				content = []byte(n.Target)
			case n.IsFile():
				if content, err = os.ReadFile(root + "/" + path); err != nil {
					return err
				}
			}
			meta := posixattr.Encode(posixattr.Attr{Mode: n.Mode, Mtime: n.Mtime, UID: n.UID, GID: n.GID}, "")
			_, err = store.Put(ctx, key, bytes.NewReader(content), int64(len(content)), objectstore.PutOptions{Metadata: meta})
			return err
		})
	}
	must(h.t, g.Wait())
}

// agents makes a tree one of files that belong to the agent, as every home's do when
// the process is root.
func agents(t testbed.Tree) testbed.Tree {
	for p, n := range t {
		if os.Geteuid() == 0 {
			n.UID, n.GID = 1000, 1000
		}
		t[p] = n
	}
	return t
}

func leaks(t *testing.T) {
	t.Helper()
	s3(t)
	// The connections of the test's own client stay open for the next test.
	ignore := []goleak.Option{goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")}
	t.Cleanup(func() { goleak.VerifyNone(t, ignore...) })
}

// tmpfs mounts one of a size over the home.
func (h *home) tmpfs(options string) {
	h.t.Helper()
	if err := unix.Mount("tmpfs", h.path, "tmpfs", 0, options); err != nil {
		h.t.Fatalf("cannot mount a small file system over the home: %v; run the tests as root", err)
	}
	h.t.Cleanup(func() {
		if err := unix.Unmount(h.path, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
}
