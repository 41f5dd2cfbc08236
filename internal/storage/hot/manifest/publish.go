package manifest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// Options are what a Publisher works with.
type Options struct {
	Store   *objectstore.Store
	Fence   lease.Fence
	Root    *tree.Root
	Journal *journal.Journal
	Place   Place
	Dir     string // below the state directory: for unnamed files as large as what is written
	Log     *slog.Logger
}

// Publisher keeps the manifest and the bundle up with the journal. It is safe for
// concurrent use.
type Publisher struct {
	o Options

	mu      sync.Mutex
	current *Manifest  // what S3 holds; nil when there is none or it is not known
	known   bool       // whether that was looked up
	etag    string     // of the manifest in S3, even of one that cannot be used
	seq     uint64     // the journal's sequence number that it reflects
	upload  lease.Seal // of the manifest that this Publisher wrote last; zero: its upload is not known well enough
	tried   time.Time  // when Publish was last called

	unresolved map[string]journal.Intent // by path: writes that may still arrive, whose paths the manifest leaves out
}

// NewPublisher makes a Publisher that knows nothing of what S3 holds yet.
func NewPublisher(o Options) *Publisher { return &Publisher{o: o} }

// Adopt takes over the manifest that hydrate read (nil: there was none that could be
// used), of which stale entries were not what S3 had. The Publisher closes it.
func (p *Publisher) Adopt(m *Manifest, stale int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current, p.known = m, true
	if m != nil {
		p.etag = m.ETag
		p.seq = p.o.Journal.Seq() - min(uint64(stale), p.o.Journal.Seq())
	}
}

// Close lets go of what the Publisher holds.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.current
	p.current, p.known = nil, false
	return m.Close()
}

// Age is how old the manifest is by the local clock, -1 when there is none.
func (p *Publisher) Age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return -1
	}
	return max(0, time.Since(p.current.Created))
}

// When Due says yes: a tenth is stale, and not for a handful of files or in every second.
const (
	dueShare    = 10
	dueMin      = 256
	dueInterval = time.Minute
)

// Due says whether a tenth of the manifest is stale: time to Publish while running.
func (p *Publisher) Due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.tried) >= dueInterval && p.stale() >= max(dueMin, uint64(p.o.Journal.Len()/dueShare))
}

// Changed says whether anything changed since the manifest was written.
func (p *Publisher) Changed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stale() > 0
}

func (p *Publisher) stale() uint64 {
	if p.current == nil {
		return uint64(p.o.Journal.Len())
	}
	return p.o.Journal.Seq() - min(p.seq, p.o.Journal.Seq())
}

// Published is what a Publish wrote.
type Published struct {
	Entries     int
	Bytes       int64 // of the manifest and the bundle together
	Bundled     int   // entries in the bundle, whether that is new or not
	NewBundle   bool
	BundleBytes int64
	Took        time.Duration
}

// Publish writes the manifest, before it a new bundle when that pays and ctx's
// deadline leaves the time, and deletes the bundle before. An error costs the next
// hydrate time and nothing else, save one of the lease.
func (p *Publisher) Publish(ctx context.Context) (Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := time.Now()
	p.tried = start
	if !p.known {
		m, err := Load(ctx, p.o.Store, p.o.Place, lease.Seal{}, p.o.Dir, p.o.Log)
		if err != nil {
			return Published{}, fmt.Errorf("cannot read the manifest that is to be replaced: %w", err)
		}
		p.current, p.known = m, true
		if m != nil {
			p.etag = m.ETag
		}
	}
	seq := p.o.Journal.Seq()
	unresolved := p.o.Journal.AllUnresolved()
	d, err := p.draft(ctx, unresolved)
	if err != nil {
		return Published{}, err
	}
	if err := p.putManifest(ctx, d); err != nil {
		d.close()
		return Published{}, err
	}
	p.seq, p.unresolved = seq, unresolved
	p.dropBundles(ctx, d)
	p.current.Close()
	p.current = d.manifest
	d.published.Took = time.Since(start)
	return d.published, nil
}

// putManifest replaces the manifest that is known. Where another is found (one that
// cannot be used, one whose writer died before it knew), that one is replaced: the
// lease says that no other sandbox writes, and readers believe no manifest blindly.
func (p *Publisher) putManifest(ctx context.Context, d *draft) error {
	key := p.o.Place.ManifestKey()
	meta := map[string]string{posixattr.WriteIDKey: rand.Text()}
	p.upload = lease.Seal{}
	for attempt := 0; ; attempt++ {
		var upload lease.Seal
		err := p.write(ctx, func(ctx context.Context) error {
			o, err := p.o.Store.Put(ctx, key, d.file, d.size, objectstore.PutOptions{
				Condition: objectstore.Condition{IfMatch: p.etag, IfNoneMatch: p.etag == ""},
				Metadata:  meta,
			})
			d.manifest.ETag, upload = o.ETag, uploadOf(o)
			return err
		})
		if err == nil {
			p.etag, p.upload = d.manifest.ETag, upload
			return nil
		}
		if attempt > 0 || !errors.Is(err, objectstore.ErrPrecondition) && !errors.Is(err, objectstore.ErrNotFound) {
			return fmt.Errorf("cannot write the manifest: %w", err)
		}
		o, err := p.o.Store.Head(ctx, key)
		if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
			return fmt.Errorf("cannot look up the manifest that is to be replaced: %w", err)
		}
		p.etag = o.ETag
	}
}

// write runs one write behind the fence.
func (p *Publisher) write(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel, err := p.o.Fence.Write(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return f(ctx)
}

// putBundle writes a bundle, or finds that the very same is there.
func (p *Publisher) putBundle(ctx context.Context, s *spool) (*Bundle, error) {
	b, err := s.finish()
	if err != nil {
		return nil, err
	}
	key := p.o.Place.BundleKey(b)
	err = p.write(ctx, func(ctx context.Context) error {
		o, err := p.o.Store.Put(ctx, key, s.file, s.size, objectstore.PutOptions{
			Condition: objectstore.Condition{IfNoneMatch: true},
			Metadata:  map[string]string{posixattr.WriteIDKey: rand.Text()},
		})
		if errors.Is(err, objectstore.ErrPrecondition) {
			o, err = p.o.Store.Head(ctx, key)
			if err == nil && o.Size != s.size {
				err = fmt.Errorf("%q has %d bytes and should have %d: delete it", key, o.Size, s.size)
			}
		}
		b.ETag = o.ETag
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	return b, nil
}

// dropBundles deletes, when the manifest names another bundle than the one before, every
// bundle that it does not name: also any whose writer died before its manifest.
func (p *Publisher) dropBundles(ctx context.Context, d *draft) {
	keep, before := "", ""
	if b := d.manifest.Bundle; b != nil {
		keep = p.o.Place.BundleKey(b)
	}
	if p.current != nil && p.current.Bundle != nil {
		before = p.o.Place.BundleKey(p.current.Bundle)
	}
	if !d.published.NewBundle && keep == before {
		return
	}
	for e, err := range p.o.Store.List(ctx, objectstore.ListOptions{Prefix: p.o.Place.bundlePrefix()}) {
		if err == nil && e.Key != keep {
			err = p.write(ctx, func(ctx context.Context) error {
				return p.o.Store.Delete(ctx, e.Key, objectstore.Condition{IfMatch: e.ETag})
			})
		}
		if err != nil {
			p.o.Log.Warn("an old bundle stays in S3 until the next is written", "event", "bundle_not_deleted", "error", err)
			return
		}
	}
}

// draft is a manifest that is written to a local file.
type draft struct {
	file      *os.File
	size      int64
	manifest  *Manifest
	published Published
}

func (d *draft) close() { d.file.Close() }
