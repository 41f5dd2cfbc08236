package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

// desk is a home, its journal and a bucket, without any sync between them: a manifest
// says what the journal says.
type desk struct {
	t       *testing.T
	bucket  *testbed.Bucket
	s3      config.S3
	home    string
	root    *tree.Root
	journal *journal.Journal
	place   Place
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	b := testbed.S3(t).Bucket(t)
	d := &desk{t: t, bucket: b, s3: b.Config(), home: filepath.Join(t.TempDir(), "home"), place: Place{MetaPrefix: "users/u/.sandbox/", HotPrefix: "users/u/hot/"}}
	must(t, os.Mkdir(d.home, 0o755))
	var err error
	d.root, err = tree.Open(d.home)
	must(t, err)
	d.journal, err = journal.Open(t.TempDir(), journal.Identity{})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(d.journal.Close(), d.root.Close())) })
	return d
}

func (d *desk) publisher() *Publisher {
	d.t.Helper()
	store, err := objectstore.Open(d.t.Context(), objectstore.Options{S3: d.s3, Credentials: d.bucket.Credentials(), Patience: 5 * time.Second})
	must(d.t, err)
	p := NewPublisher(Options{Store: store, Fence: lease.None{}, Root: d.root, Journal: d.journal, Place: d.place, Dir: d.t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	d.t.Cleanup(func() { must(d.t, p.Close()); store.Close() })
	return p
}

// stored writes a file and lets the journal say that S3 has it.
func (d *desk) stored(path, content string) {
	d.t.Helper()
	must(d.t, os.MkdirAll(filepath.Dir(filepath.Join(d.home, path)), 0o755))
	must(d.t, os.WriteFile(filepath.Join(d.home, path), []byte(content), 0o644))
	i, err := d.root.Lstat(path)
	must(d.t, err)
	must(d.t, d.journal.Put(journal.Entry{Path: path, Key: path, ETag: fmt.Sprintf("%x", sha256.Sum256([]byte(content)))[:32],
		Size: int64(len(content)), Mode: i.Mode, Mtime: i.Mtime, SHA256: sha256.Sum256([]byte(content)), Local: i.Stat}))
}

func (d *desk) files(from, to int, version string) {
	d.t.Helper()
	for i := from; i < to; i++ {
		d.stored(fmt.Sprintf("dir%d/f%04d", i%7, i), fmt.Sprintf("content %s of %d", version, i))
	}
}

func (d *desk) publish(p *Publisher) Published {
	d.t.Helper()
	pub, err := p.Publish(d.t.Context())
	must(d.t, err)
	d.check()
	return pub
}

// check reads both objects as hydrate does, and compares them with the journal.
func (d *desk) check() {
	d.t.Helper()
	store, err := objectstore.Open(d.t.Context(), objectstore.Options{S3: d.bucket.Config(), Credentials: d.bucket.Credentials()})
	must(d.t, err)
	defer store.Close()
	m, err := Load(d.t.Context(), store, d.place, lease.Seal{}, d.t.TempDir(), slog.New(slog.DiscardHandler))
	must(d.t, err)
	if m == nil {
		d.t.Fatal("there is no manifest that can be used")
	}
	defer m.Close()
	if m.Count != d.journal.Len() {
		d.t.Errorf("the manifest has %d entries, the journal %d", m.Count, d.journal.Len())
	}
	var content []byte
	bundles := d.bucket.Keys(d.place.MetaPrefix + "hot/bundle-")
	if m.Bundle == nil {
		if len(bundles) > 0 {
			d.t.Errorf("the manifest names no bundle, and there are %q", bundles)
		}
	} else {
		key := d.place.BundleKey(m.Bundle)
		if len(bundles) != 1 || bundles[0] != key {
			d.t.Errorf("the bundles are %q, want %q alone", bundles, key)
		}
		o, _ := d.bucket.Get(key)
		content = o.Body
		if sha256.Sum256(content) != m.Bundle.SHA256 || int64(len(content)) != m.Bundle.Size || o.ETag != m.Bundle.ETag {
			d.t.Errorf("the bundle is not what its manifest says: %+v", m.Bundle)
		}
	}
	for b := range m.Blocks() {
		es, err := m.Block(b)
		must(d.t, err)
		for _, e := range es {
			j, ok := d.journal.Get(strings.TrimSuffix(e.Key, "/"))
			if !ok || j.ETag != e.ETag || j.Size != e.Size || j.Mode != e.Mode || j.Mtime != e.Mtime || j.SHA256 != e.SHA256 {
				d.t.Errorf("%q: %+v, and the journal has %+v", e.Key, e, j)
			}
			if e.Bundled && sha256.Sum256(content[e.Offset:e.Offset+e.Size]) != e.SHA256 {
				d.t.Errorf("%q is not in the bundle where the manifest says", e.Key)
			}
		}
	}
}
