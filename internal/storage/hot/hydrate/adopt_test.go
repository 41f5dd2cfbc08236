package hydrate

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

// A journal that was lost: what is here is compared by the manifest's hashes, without a
// request for any file.
func TestAdoptByManifest(t *testing.T) {
	h, _ := published(t, 200)
	h.hydrate()
	must(t, os.RemoveAll(h.state))
	before := testbed.Scan(t, h.path)
	p := h.through()
	r := h.hydrate()
	if r.Files != 0 || r.Adopted != 200 || len(r.Conflicts) > 0 {
		t.Errorf("%+v", r)
	}
	if n := p.Count("GET"); n != 1 {
		t.Errorf("%d GETs", n)
	}
	testbed.WantTree(t, before, testbed.Scan(t, h.path), testbed.Ignore{})
}

// And with no manifest by ETags; where those are no MD5, by the object itself.
func TestAdoptWithoutManifest(t *testing.T) {
	h := newHome(t)
	h.put("same", "content")
	h.put("other", "theirs!")
	h.bucket.Put(h.key("link"), "target", map[string]string{"file-permissions": "0120777"})
	h.write("same", "content")
	h.write("other", "mine...")
	must(t, os.Chmod(h.at("same"), 0o600))
	must(t, os.Symlink("target", h.at("link")))
	r := h.hydrate()
	if r.Adopted != 2 || r.Files != 1 {
		t.Errorf("%+v", r)
	}
	h.wantConflict("other", "mine...")
	i, err := os.Stat(h.at("same"))
	must(t, err)
	if i.Mode() != 0o644 || i.ModTime().UnixNano() != 1_700_000_000_000_000_001 {
		t.Errorf("what was adopted has %v, %v", i.Mode(), i.ModTime())
	}

	h = newHome(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 6<<20/16)
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: h.s3, Credentials: h.bucket.Credentials(), PartSize: 5 << 20})
	must(t, err)
	defer store.Close()
	for _, name := range []string{"same", "other"} {
		o, err := store.Put(t.Context(), h.key(name), bytes.NewReader(big), int64(len(big)), objectstore.PutOptions{})
		must(t, err)
		if !strings.Contains(o.ETag, "-") {
			t.Fatalf("the ETag of a multipart upload is %q", o.ETag)
		}
		must(t, os.WriteFile(filepath.Join(h.path, name), big, 0o644))
	}
	mine := bytes.Clone(big)
	mine[5<<20]++
	must(t, os.WriteFile(h.at("other"), mine, 0o644))
	if r := h.hydrate(); r.Adopted != 1 || r.Files != 1 || len(r.Conflicts) != 1 {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"same", "other"} {
		b, err := os.ReadFile(h.at(name))
		must(t, err)
		if sha256.Sum256(b) != sha256.Sum256(big) {
			t.Errorf("%s has another content", name)
		}
	}
}
