package hydrate

import (
	"context"
	"os"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A home of everything that is hard to keep comes back as it was: without a manifest,
// with one, and with a bundle.
func TestFidelity(t *testing.T) {
	leaks(t)
	h := newHome(t)
	src := t.TempDir()
	want := testbed.HostileTree(t, src, testbed.Hostile{}).Kept()
	h.upload(src, want)
	want = agents(want)

	for _, round := range []string{"without a manifest", "with a manifest"} {
		r := h.hydrate()
		if int(r.Files) != len(want) || len(r.Kept) > 0 || len(r.Conflicts) > 0 {
			t.Errorf("%s: %d files of %d, kept %v, conflicts %v", round, r.Files, len(want), r.Kept, r.Conflicts)
		}
		got := testbed.Scan(t, h.path)
		testbed.WantTree(t, want, got, testbed.Ignore{})
		for _, p := range []string{"sparse/hole", "sparse/all"} {
			if n := got[p]; n.Blocks*512 > n.Size/2 {
				t.Errorf("%s: %s has %d bytes allocated of %d", round, p, n.Blocks*512, n.Size)
			}
		}
		if round == "with a manifest" {
			if r.Bundled == 0 || r.Files-r.Bundled > 10 {
				t.Errorf("%d of %d files came out of the bundle", r.Bundled, r.Files)
			}
			break
		}
		if p := h.publish(); !p.NewBundle || p.Entries != len(want) {
			t.Errorf("published %+v", p)
		}
		h.lose()
	}
}

// lose is a new container: neither home nor journal are left.
func (h *home) lose() {
	h.t.Helper()
	must(h.t, os.RemoveAll(h.path))
	must(h.t, os.RemoveAll(h.state))
	must(h.t, os.Mkdir(h.path, 0o755))
}

func TestGitRepositorySurvives(t *testing.T) {
	h := newHome(t)
	src := t.TempDir()
	testbed.GitTree(t, src)
	h.upload(src, testbed.Scan(t, src))
	h.hydrate()
	if a, b := testbed.Git(t, src, "log", "--format=%H"), testbed.Git(t, h.path, "log", "--format=%H"); a != b || a == "" {
		t.Errorf("the log is %q, want %q", b, a)
	}
	testbed.Git(t, h.path, "fsck", "--full", "--strict")
	if s := testbed.Git(t, h.path, "status", "--porcelain"); s != "" {
		t.Errorf("git sees changes: %s", s)
	}
}

// What `aws s3 sync` lays down is plain objects, and a home as it is.
func TestPlainObjects(t *testing.T) {
	h := newHome(t)
	h.bucket.Put(h.key("a.txt"), "a", nil)
	h.bucket.Put(h.key("dir/b.txt"), "b", nil)
	h.bucket.Put(h.cfg.HotPrefix(), "", nil) // the console's "folder"
	r := h.hydrate()
	if r.Files != 2 || len(r.Kept) > 0 {
		t.Errorf("%d files, kept %v", r.Files, r.Kept)
	}
	h.want("a.txt", "a")
	h.want("dir/b.txt", "b")
	stored, _ := h.bucket.Get(h.key("a.txt"))
	i, err := os.Stat(h.at("a.txt"))
	must(t, err)
	if i.Mode().Perm() != 0o644 || !i.ModTime().Equal(stored.LastModified) {
		t.Errorf("mode %v, mtime %v; want 0644 and Last-Modified %v", i.Mode(), i.ModTime(), stored.LastModified)
	}
}

func TestEmptyPrefix(t *testing.T) {
	leaks(t)
	h := newHome(t)
	if r := h.hydrate(); r.Files != 0 || r.Rules == nil {
		t.Errorf("%+v", r)
	}
}

// Objects that other users or the cold path have are not looked at.
func TestOtherPrefixes(t *testing.T) {
	h := newHome(t)
	for _, k := range []string{"users/u/cold/c", "users/u2/hot/x", "users/u/hot-not", "users/u/.sandbox/lease", "other"} {
		h.bucket.Put(k, k, nil)
	}
	h.put("mine", "mine")
	h.hydrate()
	if got := testbed.Scan(t, h.path); len(got) != 1 {
		t.Errorf("the home has %v", got)
	}
}

func TestRestartFetchesNothing(t *testing.T) {
	h := newHome(t)
	src := t.TempDir()
	testbed.SmallTree(t, src, 300, 20, 100)
	h.upload(src, testbed.Scan(t, src))
	h.hydrate()
	before := testbed.Scan(t, h.path)
	p := h.through()
	if r := h.hydrate(); r.Files != 0 || r.Unchanged != int64(len(before)) {
		t.Errorf("%d files fetched, %d of %d unchanged", r.Files, r.Unchanged, len(before))
	}
	if n := p.Count("GET"); n != 1 { // the manifest
		t.Errorf("%d GETs", n)
	}
	testbed.WantTree(t, before, testbed.Scan(t, h.path), testbed.Ignore{})
}

func TestCancelled(t *testing.T) {
	leaks(t)
	h := newHome(t)
	h.put("a", "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.tryHydrate(ctx); err == nil {
		t.Error("no error")
	}
	h.hydrate()
	h.want("a", "a")
}
