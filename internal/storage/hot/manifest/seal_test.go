package manifest

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

// A manifest is sealed when nothing was written to the home's prefix, and nothing can have been, from before its
// entries were collected to the end.
func TestSealIsOfWhatIsKnownToHaveArrived(t *testing.T) {
	manifestPut := testbed.Match{Verb: "PUT", Suffix: "/hot/manifest"}
	write := func(d *desk) { d.stored("more", "content") }
	for name, test := range map[string]struct {
		when   func(d *desk, proxy *testbed.FaultProxy, publish func() error) // publishes, and more
		sealed bool
	}{
		"published": {func(d *desk, _ *testbed.FaultProxy, publish func() error) { must(d.t, publish()) }, true},
		"published twice": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, publish())
			write(d)
			must(d.t, publish())
		}, true},
		"not published": {func(*desk, *testbed.FaultProxy, func() error) {}, false},
		"a file stored after it": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, publish())
			write(d)
		}, false},
		"an object deleted after it": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, publish())
			must(d.t, d.journal.Forget("dir0/f0000"))
		}, false},
		"a file stored while it is on its way": {func(d *desk, proxy *testbed.FaultProxy, publish func() error) {
			gate := testbed.Hold()
			proxy.Add(testbed.Fault{When: manifestPut, Times: 1, Do: gate})
			published := make(chan error, 1)
			go func() { published <- publish() }()
			if !gate.WaitArrived(d.t.Context(), 1) {
				d.t.Error("no manifest is written")
			}
			write(d)
			gate.Open()
			must(d.t, <-published)
		}, false},
		"a write after it that was not answered": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, publish())
			must(d.t, d.journal.Begin("dir0/f0000", journal.Intent{WriteID: "w.1", Key: "dir0/f0000"}))
		}, false},
		"a write before it that was not answered": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, d.journal.Begin("dir0/f0000", journal.Intent{WriteID: "w.1", Key: "dir0/f0000"}))
			must(d.t, publish())
			d.wantEntries(2)
		}, true},
		"a write of which an earlier attempt was not answered": {func(d *desk, _ *testbed.FaultProxy, publish func() error) {
			must(d.t, d.journal.Begin("more", journal.Intent{WriteID: "w.2", Key: "more"}))
			write(d)
			must(d.t, publish())
			d.wantEntries(3)
		}, true},
		"refused after one that was published": {func(d *desk, proxy *testbed.FaultProxy, publish func() error) {
			must(d.t, publish())
			write(d)
			proxy.Add(testbed.Fault{When: manifestPut, Do: testbed.Refuse(403, "AccessDenied")})
			if publish() == nil {
				d.t.Error("a manifest that was refused counts as published")
			}
		}, false},
		"its own answer was lost": {func(d *desk, proxy *testbed.FaultProxy, publish func() error) {
			proxy.Add(testbed.Fault{When: manifestPut, Times: 1, Do: testbed.LoseAnswer()})
			must(d.t, publish())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			proxy := testbed.Proxy(t, d.bucket.Server)
			d.s3 = proxy.Config(d.bucket)
			d.files(0, 3, "1")
			p := d.publisher()
			test.when(d, proxy, func() error { _, err := p.Publish(t.Context()); return err })
			got := p.Seal()
			if got != (lease.Seal{}) != test.sealed {
				t.Errorf("the seal is %+v", got)
			}
			if o, _ := d.bucket.Get(d.place.ManifestKey()); test.sealed && got.Manifest != o.ETag {
				t.Errorf("the seal is %+v, and the manifest's ETag %s", got, o.ETag)
			}
		})
	}
}

// wantEntries wants so many entries in the manifest in S3.
func (d *desk) wantEntries(n int) {
	d.t.Helper()
	o, _ := d.bucket.Get(d.place.ManifestKey())
	m, err := decode(o.Body)
	must(d.t, err)
	if m.Count != n {
		d.t.Errorf("the manifest has %d entries, want %d", m.Count, n)
	}
}

// Only the very upload that the seal names is trusted up to its arrival.
func TestSealNamesOneUpload(t *testing.T) {
	d := newDesk(t)
	d.files(0, 3, "1")
	p := d.publisher()
	d.publish(p)
	seal := p.Seal()
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: d.bucket.Config(), Credentials: d.bucket.Credentials()})
	must(t, err)
	defer store.Close()
	// The embedded S3 keeps objects as files, whose mtime is Last-Modified.
	arrived := time.Unix(seal.Until-1, 0)
	file := filepath.Join(d.bucket.Server.Data, d.bucket.Name, d.place.ManifestKey())
	for _, c := range []struct {
		what     string
		seal     lease.Seal
		modified time.Time
		sealed   bool
	}{
		{"the upload", seal, arrived, true},
		{"at the bound", seal, arrived.Add(time.Second), true},
		{"stored anew", seal, arrived.Add(2 * time.Second), false},
		{"another manifest", lease.Seal{Manifest: "another", Until: seal.Until}, arrived, false},
		{"none", lease.Seal{}, arrived, false},
	} {
		must(t, os.Chtimes(file, c.modified, c.modified))
		m, err := Load(t.Context(), store, d.place, c.seal, t.TempDir(), slog.New(slog.DiscardHandler))
		must(t, err)
		if m.AsOf.Equal(c.modified) != c.sealed {
			t.Errorf("%s: what was modified before %v is vouched for; the manifest was stored at %v", c.what, m.AsOf, c.modified)
		}
		must(t, m.Close())
	}
}

// An answer without a time or an ETag does not tell when the manifest arrived, or which one it is.
func TestUploadWithoutTimeOrNameIsNotSealed(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for what, o := range map[string]objectstore.Object{
		"no time": {ETag: "e"}, "no ETag": {Date: at}, "answered at a second attempt": {ETag: "e", Date: at, Ambiguous: true},
	} {
		if got := uploadOf(o); got != (lease.Seal{}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := uploadOf(objectstore.Object{ETag: "e", Date: at}); got != (lease.Seal{Manifest: "e", Until: at.Unix() + dateSlack}) {
		t.Errorf("%+v", got)
	}
}
