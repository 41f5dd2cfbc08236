package manifest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

func TestPublish(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	d := newDesk(t)
	p := d.publisher()
	if p.Changed() || p.Due() || p.Age() != -1 {
		t.Errorf("changed %v, age %v of nothing", p.Changed(), p.Age())
	}
	d.files(0, 300, "1")
	d.stored("large", strings.Repeat("x", contentMax+1))
	if err := os.Symlink("target", filepath.Join(d.home, "link")); err != nil {
		t.Fatal(err)
	}
	must(t, d.journal.Put(journal.Entry{Path: "link", Key: "link", ETag: "e", Size: 6, Mode: 0o120777, SHA256: sha256.Sum256([]byte("target"))}))
	must(t, d.journal.Put(journal.Entry{Path: "dir0", Key: "dir0/", ETag: "e", Mode: 0o040755}))
	if !p.Changed() || !p.Due() {
		t.Errorf("changed %v, due %v, with no manifest", p.Changed(), p.Due())
	}
	pub := d.publish(p)
	if !pub.NewBundle || pub.Entries != 303 || pub.Bundled != 301 {
		t.Errorf("%+v", pub)
	}
	if p.Changed() || p.Due() || p.Age() < 0 {
		t.Errorf("changed %v, due %v, age %v of what was just written", p.Changed(), p.Due(), p.Age())
	}

	// A few changes: a new manifest, the same bundle.
	d.files(0, 10, "2")
	must(t, d.journal.Forget("dir6/f0013"))
	if !p.Changed() || p.Due() {
		t.Errorf("changed %v, due %v after few changes", p.Changed(), p.Due())
	}
	if pub = d.publish(p); pub.NewBundle || pub.Bundled != 290 {
		t.Errorf("%+v", pub)
	}
	// More than a tenth: a new bundle, and the one before is gone (check).
	d.files(10, 110, "3")
	if pub = d.publish(p); !pub.NewBundle || pub.Bundled != 301 {
		t.Errorf("%+v", pub)
	}
	// Most of it is gone: half of the bundle would be read for nothing.
	for i := 100; i < 300; i++ {
		must(t, d.journal.Forget(fmt.Sprintf("dir%d/f%04d", i%7, i)))
	}
	if pub = d.publish(p); !pub.NewBundle || pub.Bundled != 101 {
		t.Errorf("%+v", pub)
	}
	// Nearly nothing is left: no bundle any more.
	for i := range 100 {
		must(t, d.journal.Forget(fmt.Sprintf("dir%d/f%04d", i%7, i)))
	}
	if pub = d.publish(p); pub.Bundled != 1 && pub.Bundled != 0 {
		t.Errorf("%+v", pub)
	}
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("github.com/matrx/sandbox/internal/s3process.Start.func1"), goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"))
	})
}

// Only what still is what S3 holds goes into the bundle.
func TestBundleLeavesOutWhatChanged(t *testing.T) {
	d := newDesk(t)
	d.files(0, 100, "1")
	must(t, os.WriteFile(filepath.Join(d.home, "dir0/f0000"), []byte("changed, not in S3"), 0o644))
	must(t, os.WriteFile(filepath.Join(d.home, "dir1/f0001"), []byte("content X of 1"), 0o644)) // as long as it was
	must(t, os.Remove(filepath.Join(d.home, "dir2/f0002")))
	must(t, os.Remove(filepath.Join(d.home, "dir3/f0003")))
	must(t, os.Mkdir(filepath.Join(d.home, "dir3/f0003"), 0o755))
	must(t, os.Remove(filepath.Join(d.home, "dir4/f0004")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(d.home, "dir4/f0004")))
	if pub := d.publish(d.publisher()); !pub.NewBundle || pub.Bundled != 95 || pub.Entries != 100 {
		t.Errorf("%+v", pub)
	}
}

// Another process's publisher goes on from what is in S3, and keeps its bundle.
func TestPublishGoesOn(t *testing.T) {
	d := newDesk(t)
	d.files(0, 200, "1")
	d.publish(d.publisher())
	d.files(0, 5, "2")
	p := d.publisher()
	if pub := d.publish(p); pub.NewBundle || pub.Bundled != 195 {
		t.Errorf("%+v", pub)
	}
	// One that hydrate read is taken over, with what it did not vouch for.
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: d.s3, Credentials: d.bucket.Credentials()})
	must(t, err)
	defer store.Close()
	read, err := Load(t.Context(), store, d.place, lease.Seal{}, t.TempDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	p = d.publisher()
	p.Adopt(read, 0)
	if p.Changed() {
		t.Error("changed, and hydrate found it all as it was")
	}
	p.Adopt(read, 3)
	if !p.Changed() {
		t.Error("not changed, and three objects were not what the manifest said")
	}
	if pub := d.publish(p); pub.NewBundle {
		t.Errorf("%+v", pub)
	}
}

// A manifest of any kind, of any writer, is replaced under the lease, and every
// other bundle goes.
func TestForeignManifest(t *testing.T) {
	d := newDesk(t)
	d.files(0, 100, "1")
	key := d.place.ManifestKey()
	d.bucket.Put(key, "no manifest", nil)
	d.bucket.Put(d.place.MetaPrefix+"hot/bundle-orphan", "of a writer that died", nil)
	p := d.publisher()
	d.publish(p)
	// And one that appears behind the publisher's back.
	d.bucket.Put(key, "another's", nil)
	d.files(0, 3, "2")
	d.publish(p)
	d.bucket.Delete(key)
	d.files(0, 3, "3")
	d.publish(p)
}

// The answer to the manifest's PUT is lost: it is recognised as ours, and the next one
// is written over it.
func TestLostAnswers(t *testing.T) {
	d := newDesk(t)
	proxy := testbed.Proxy(t, d.bucket.Server)
	d.s3 = proxy.Config(d.bucket)
	d.files(0, 100, "1")
	for _, m := range []testbed.Match{{Verb: "PUT", Suffix: "manifest"}, {Verb: "PUT", Regexp: "bundle-"}} {
		proxy.Add(testbed.Fault{When: m, Times: 1, Do: testbed.LoseAnswer()})
	}
	p := d.publisher()
	d.publish(p)
	d.files(0, 3, "2")
	d.publish(p)
}

// A bundle that cannot be written costs the next start time; the manifest is written
// without it. A manifest that cannot be written is an error, and the old one stays.
func TestPublishFaults(t *testing.T) {
	d := newDesk(t)
	proxy := testbed.Proxy(t, d.bucket.Server)
	d.s3 = proxy.Config(d.bucket)
	d.files(0, 100, "1")
	f := proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: "bundle-"}, Do: testbed.Refuse(403, "AccessDenied")})
	p := d.publisher()
	if pub := d.publish(p); pub.NewBundle || pub.Bundled != 0 || pub.Entries != 100 {
		t.Errorf("%+v", pub)
	}
	f.Remove()
	d.files(0, 1, "2")
	if pub := d.publish(p); !pub.NewBundle {
		t.Errorf("%+v", pub)
	}
	before, _ := d.bucket.Get(d.place.ManifestKey())
	f = proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "manifest"}, Do: testbed.Refuse(403, "AccessDenied")})
	d.files(0, 1, "3")
	if _, err := p.Publish(t.Context()); !errors.Is(err, objectstore.ErrAccessDenied) {
		t.Errorf("Publish: %v", err)
	}
	if !p.Changed() {
		t.Error("what was not written counts as written")
	}
	if after, _ := d.bucket.Get(d.place.ManifestKey()); after.ETag != before.ETag {
		t.Error("the manifest changed")
	}
	f.Remove()
	d.publish(p)
}

// With little time left there is no new bundle, and with none nothing is begun.
func TestPublishDeadline(t *testing.T) {
	d := newDesk(t)
	d.files(0, 100, "1")
	p := d.publisher()
	ctx, cancel := context.WithTimeout(t.Context(), assumedStart-100*time.Millisecond)
	defer cancel()
	if pub, err := p.Publish(ctx); err != nil || pub.NewBundle || pub.Entries != 100 {
		t.Errorf("%+v, %v", pub, err)
	}
	d.check()
	cancel()
	if _, err := p.Publish(ctx); err == nil {
		t.Error("no error after the deadline")
	}
}

// A writer whose lease is lost writes neither.
func TestPublishIsFenced(t *testing.T) {
	d := newDesk(t)
	d.files(0, 100, "1")
	p := d.publisher()
	p.o.Fence = closedFence{}
	if _, err := p.Publish(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Publish: %v", err)
	}
	if keys := d.bucket.Keys(""); len(keys) > 0 {
		t.Errorf("it wrote %q", keys)
	}
}

type closedFence struct{}

func (closedFence) Write(context.Context) (context.Context, context.CancelFunc, error) {
	return nil, nil, lease.ErrLost
}

// The bundle stays within bounds: where all small contents are too much, smaller ones
// are taken.
func TestPays(t *testing.T) {
	full := func(files int, bytes int64) tally {
		var t tally
		for i := range contentClasses {
			t.files[i], t.bytes[i] = files>>i, bytes>>i
		}
		return t
	}
	for _, c := range []struct {
		what  string
		t     tally
		limit int64
		pays  bool
	}{
		{"few files", full(bundleMin-1, 1000), 0, false},
		{"enough", full(bundleMin, 1000), contentMax, true},
		{"too much", full(100_000, 3*bundleMax), contentMax / 4, true},
		{"all there", tally{exists: true, files: [8]int{1000}, bytes: [8]int64{1 << 20}, bundled: 1000, bundledBytes: 1 << 20}, contentMax, false},
		{"nearly a tenth missing", tally{exists: true, files: [8]int{1000}, bytes: [8]int64{1 << 20}, bundled: 901, bundledBytes: 1 << 20}, contentMax, false},
		{"a tenth missing", tally{exists: true, files: [8]int{1000}, bytes: [8]int64{1 << 20}, bundled: 900, bundledBytes: 1 << 20}, contentMax, true},
		{"half dead", tally{exists: true, files: [8]int{1000}, bytes: [8]int64{1 << 20}, bundled: 1000, bundledBytes: 1 << 20, deadBytes: 1<<20 + 1}, contentMax, true},
	} {
		if limit, pays := c.t.pays(); limit != c.limit || pays != c.pays {
			t.Errorf("%s: %d, %v", c.what, limit, pays)
		}
	}
}

func TestWalkAndItems(t *testing.T) {
	entries, bundle := sample(2500)
	m, err := decode(encode(t, entries, bundle))
	must(t, err)
	for _, from := range []int{0, 1, 2} {
		w := m.From(from)
		for i := from * blockEntries; i < len(entries); i += 3 {
			if w2, n := w.Find(entries[i].Key + "0"); w2 != nil {
				t.Fatalf("found %q as %d", entries[i].Key+"0", n)
			}
			if i+1 < len(entries) {
				if e, n := w.Find(entries[i+1].Key); e == nil || n != i+1 || e.Key != entries[i+1].Key {
					t.Fatalf("entry %d: %v, %d", i+1, e, n)
				}
			}
		}
		if e, _ := w.Find("\xff\xff"); e != nil || w.Err() != nil {
			t.Errorf("%v, %v", e, w.Err())
		}
	}
	items := m.Items()
	for _, n := range []int{0, 1, 2499, 989, 990, 1979, 1980, 5, 2000} {
		if e, err := items.Get(n); err != nil || e.Key != entries[n].Key {
			t.Errorf("item %d: %v, %v", n, e, err)
		}
	}
	for _, n := range []int{-1, 2500} {
		if _, err := m.Items().Get(n); !errors.Is(err, errMalformed) {
			t.Errorf("item %d: %v", n, err)
		}
	}
	var none *Manifest
	if e, _ := none.From(0).Find("k"); e != nil || none.Close() != nil {
		t.Error("no manifest has something")
	}
}
