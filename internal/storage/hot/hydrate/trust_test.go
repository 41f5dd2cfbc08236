package hydrate

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

// published is a workspace of some files with a manifest and a bundle, and no home.
func published(t *testing.T, files int) (*home, testbed.Tree) {
	t.Helper()
	h := newHome(t)
	src := t.TempDir()
	testbed.SmallTree(t, src, files, 20, 200)
	// Without markers: the embedded server moves a marker's Last-Modified with every
	// object below it.
	tree := testbed.Scan(t, src)
	maps.DeleteFunc(tree, func(_ string, n testbed.Node) bool { return n.IsDir() })
	h.upload(src, tree)
	h.hydrate()
	if p := h.publish(); !p.NewBundle || p.Bundled < files {
		t.Fatalf("published %+v", p)
	}
	want := testbed.Scan(t, h.path)
	h.lose()
	return h, want
}

func (h *home) bundleKey() string {
	h.t.Helper()
	keys := h.bucket.Keys(h.cfg.MetaPrefix() + "hot/bundle-")
	if len(keys) != 1 {
		h.t.Fatalf("the bundles are %q", keys)
	}
	return keys[0]
}

func (h *home) manifestKey() string { return h.cfg.MetaPrefix() + "hot/manifest" }

// With the bundle a home of any number of small files is a handful of requests.
func TestBundleSavesRequests(t *testing.T) {
	h, want := published(t, 300)
	p := h.through()
	r := h.hydrate()
	testbed.WantTree(t, want, testbed.Scan(t, h.path), testbed.Ignore{DirMtime: true})
	if r.Bundled != r.Files || r.Stale != 0 {
		t.Errorf("%+v", r)
	}
	// The manifest, the bundle, one page of a listing, and whether there is a .sandboxignore.
	if p.Count("GET") != 2 || p.Count("LIST") != 1 || p.Count("HEAD") != 1 {
		t.Errorf("%d GETs, %d LISTs, %d HEADs", p.Count("GET"), p.Count("LIST"), p.Count("HEAD"))
	}
}

// What was stored after the manifest is fetched by itself, also when the manifest vouches for
// its key; what was deleted stays away.
func TestManifestIsBehind(t *testing.T) {
	h, want := published(t, 100)
	h.nextSecond()
	var paths []string
	for p, n := range want {
		if n.IsFile() {
			paths = append(paths, p)
		}
	}
	changed, same, gone := paths[0], paths[1], paths[2]
	h.put(changed, "changed since")
	h.put("new", "new since")
	// The same content with another mode: the ETag says nothing of it.
	stored, _ := h.bucket.Get(h.key(same))
	h.bucket.Put(h.key(same), string(stored.Body), map[string]string{"file-permissions": "0100600"})
	h.bucket.Delete(h.key(gone))

	r := h.hydrate()
	h.want(changed, "changed since")
	h.want("new", "new since")
	h.want(gone, "")
	if i, err := os.Stat(h.at(same)); err != nil || i.Mode() != 0o600 {
		t.Errorf("the mode that was changed since is %v, %v", i, err)
	}
	if own := r.Files - r.Bundled; own != 3 {
		t.Errorf("%d files were fetched by themselves, want 3", own)
	}
	if r.Stale != 3 {
		t.Errorf("%d stale", r.Stale)
	}
}

func TestVouches(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	h := &listing{manifest: &manifest.Manifest{AsOf: at}}
	known := &manifest.Entry{Key: "k", ETag: "e", Size: 3}
	for _, c := range []struct {
		what string
		o    objectstore.Object
		want bool
	}{
		{"earlier", objectstore.Object{ETag: "e", Size: 3, LastModified: at.Add(-time.Second)}, true},
		{"in the same second", objectstore.Object{ETag: "e", Size: 3, LastModified: at}, false},
		{"later", objectstore.Object{ETag: "e", Size: 3, LastModified: at.Add(time.Second)}, false},
		{"another ETag", objectstore.Object{ETag: "f", Size: 3, LastModified: at.Add(-time.Hour)}, false},
		{"another size", objectstore.Object{ETag: "e", Size: 4, LastModified: at.Add(-time.Hour)}, false},
	} {
		if got := h.vouches(known, &objectstore.Entry{Object: c.o}); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	if h.vouches(&manifest.Entry{Key: "k", Size: 3}, &objectstore.Entry{Object: objectstore.Object{Size: 3, LastModified: at.Add(-time.Hour)}}) {
		t.Error("no ETag is equal to no ETag")
	}
}

// A damage of the two accelerators costs requests and nothing else.
func TestBrokenAccelerators(t *testing.T) {
	h, want := published(t, 100)
	stored, _ := h.bucket.Get(h.manifestKey())
	bundleKey := h.bundleKey()
	content, _ := h.bucket.Get(bundleKey)
	put := func(key string, body []byte) { h.bucket.Put(key, string(body), nil) }
	for _, c := range []struct {
		what      string
		break_    func(p *testbed.FaultProxy)
		event     string
		byThemsel bool // every file is fetched by itself
	}{
		{what: "nothing", break_: func(*testbed.FaultProxy) {}},
		{what: "no manifest", byThemsel: true, break_: func(*testbed.FaultProxy) { h.bucket.Delete(h.manifestKey()) }},
		{what: "an empty manifest", event: "manifest_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) { put(h.manifestKey(), nil) }},
		{what: "half a manifest", event: "manifest_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) { put(h.manifestKey(), stored.Body[:len(stored.Body)/2]) }},
		{what: "a manifest of a version to come", event: "manifest_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) {
			put(h.manifestKey(), bytes.Replace(stored.Body, []byte("manifest 2"), []byte("manifest 3"), 1))
		}},
		{what: "another's manifest", event: "manifest_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) {
			put(h.manifestKey(), h.rewritten("users/other/hot/", func(*manifest.Entry) {}))
		}},
		{what: "a manifest that lies about contents", event: "bundle_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) {
			put(h.manifestKey(), h.rewritten(h.cfg.HotPrefix(), func(e *manifest.Entry) { e.SHA256[0] ^= 1 }))
		}},
		{what: "no bundle", event: "bundle_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) { h.bucket.Delete(bundleKey) }},
		{what: "another bundle", event: "bundle_unusable", byThemsel: true, break_: func(*testbed.FaultProxy) { put(bundleKey, bytes.ToUpper(content.Body)) }},
		{what: "a bundle that changes on its way", event: "bundle_unusable", break_: func(p *testbed.FaultProxy) {
			p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Key: bundleKey}, Do: testbed.CorruptResponse(1000)})
		}},
		{what: "a bundle that may not be read", event: "bundle_unusable", byThemsel: true, break_: func(p *testbed.FaultProxy) {
			p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Key: bundleKey}, Do: testbed.Refuse(403, "AccessDenied")})
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			for k := range h.bucket.ETags(h.cfg.MetaPrefix()) {
				h.bucket.Delete(k)
			}
			put(bundleKey, content.Body)
			put(h.manifestKey(), stored.Body)
			h.lose()
			h.t, h.log = t, &logged{}
			p := h.through()
			c.break_(p)
			r := h.hydrate()
			testbed.WantTree(t, want, testbed.Scan(t, h.path), testbed.Ignore{DirMtime: true})
			if c.event != "" && !h.log.has(c.event) {
				t.Errorf("nothing in the log says %s", c.event)
			}
			files := int64(0)
			for _, n := range want {
				if n.IsFile() {
					files++
				}
			}
			switch own := r.Files - r.Bundled; {
			case c.byThemsel && own < files:
				t.Errorf("%d of %d files came by themselves", own, files)
			case c.what == "nothing" && own != 0, c.what == "a bundle that changes on its way" && own != 1:
				t.Errorf("%d files came by themselves", own)
			}
		})
	}
}

// rewritten is the manifest with other entries, well made.
func (h *home) rewritten(prefix string, edit func(*manifest.Entry)) []byte {
	h.t.Helper()
	o, _ := h.bucket.Get(h.manifestKey())
	m, err := manifest.Decode(bytes.NewReader(o.Body), int64(len(o.Body)))
	must(h.t, err)
	var out bytes.Buffer
	w := manifest.NewWriter(&out)
	for b := range m.Blocks() {
		es, err := m.Block(b)
		must(h.t, err)
		for _, e := range es {
			edit(&e)
			must(h.t, w.Add(&e))
		}
	}
	must(h.t, w.Close(time.Now(), m.AsOf, prefix, m.Bundle))
	return out.Bytes()
}

// A tree of several pages, listed in ranges at the manifest's keys: what came and went
// since, before the first, after the last and between, is found.
func TestListInRanges(t *testing.T) {
	h := newHome(t)
	src := t.TempDir()
	testbed.SmallTree(t, src, 2400, 60, 10)
	h.upload(src, testbed.Scan(t, src))
	h.hydrate()
	if p := h.publish(); p.Entries < 2400 {
		t.Fatalf("%+v", p)
	}
	want := map[string]string{}
	for p, n := range testbed.Scan(t, h.path) {
		if n.IsFile() {
			want[p] = string(n.Content)
		}
	}
	h.nextSecond()
	i := 0
	for p := range maps.Clone(want) {
		switch i++; {
		case i%40 == 0:
			h.bucket.Delete(h.key(p))
			delete(want, p)
		case i%60 == 1:
			h.put(p+"-next", p)
			want[p+"-next"] = p
		case i%90 == 2:
			h.put(p, "changed")
			want[p] = "changed"
		}
	}
	for n := range 30 {
		for _, p := range []string{fmt.Sprintf("%03d", n), fmt.Sprintf("zzz/%03d", n), fmt.Sprintf("d01/e00/more%d", n)} {
			h.put(p, p)
			want[p] = p
		}
	}
	h.lose()
	p := h.through()
	g := testbed.Hold()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, Do: g})
	result := make(chan Result, 1)
	go func() {
		r, err := h.tryHydrate(context.Background())
		if err != nil {
			t.Error(err)
		}
		result <- r
	}()
	// Every range is asked for before any was answered.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !g.WaitArrived(ctx, 3) {
		t.Error("the ranges are not listed side by side")
	}
	g.Open()
	r := <-result
	got := map[string]string{}
	for p, n := range testbed.Scan(t, h.path) {
		if n.IsFile() {
			got[p] = string(n.Content)
		}
	}
	if !maps.Equal(got, want) {
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%q is %q, want %q", k, got[k], v)
			}
		}
		for k := range got {
			if _, ok := want[k]; !ok {
				t.Errorf("%q should not be here", k)
			}
		}
	}
	if r.Bundled < 2000 {
		t.Errorf("only %d files came out of the bundle", r.Bundled)
	}
}
