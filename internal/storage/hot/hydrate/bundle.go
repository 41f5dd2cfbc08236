package hydrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// bundleWorkers fetch a range each and then write its files. That many ranges are in
// memory.
const bundleWorkers = 6

// bundle writes what the manifest vouches for: contents out of the bundle, and what has
// none. Into an empty home it is fetched while the listing still runs, and waits in
// memory for what the listing says.
type bundle struct {
	h     *run
	ctx   context.Context // of g
	g     *errgroup.Group
	ready chan struct{} // closed when the verdicts stand
	done  sync.WaitGroup

	ranges  []manifest.Range
	next    atomic.Int64 // of ranges
	broken  atomic.Bool  // a range could not be had
	covered []bool       // the manifest's entries that are in a range; nil before begin
	byEntry []int32      // the item, from 1, that an entry vouches for; 0: none

	mu   sync.Mutex
	left []int     // items that have to be fetched by themselves after all
	once sync.Once // what went wrong is said once
}

func newBundle(ctx context.Context, h *run, g *errgroup.Group) *bundle {
	return &bundle{h: h, ctx: ctx, g: g, ready: make(chan struct{})}
}

// begin fetches the ranges with what is wanted.
func (b *bundle) begin(wanted func(entry int) bool) {
	m := b.h.manifest
	if m == nil {
		return
	}
	b.covered = make([]bool, m.Count)
	if m.Bundle == nil {
		return
	}
	ranges, err := m.Ranges(wanted)
	if err != nil {
		b.failed(err)
		return
	}
	b.ranges = ranges
	for _, r := range ranges {
		for _, n := range r.Items {
			b.covered[n] = true
		}
	}
	for range min(bundleWorkers, len(ranges)) {
		b.done.Add(1)
		b.g.Go(func() error {
			defer b.done.Done()
			return b.work()
		})
	}
}

var errBundle = errors.New("an earlier range of the bundle could not be read")

// failed says why the bundle is of no use, once.
func (b *bundle) failed(err error) {
	b.once.Do(func() {
		b.h.Log.Warn("the bundle cannot be used, or not all of it: files are fetched by themselves", "event", "bundle_unusable", "error", err)
	})
}

// share decides which items the workers bring: it writes what has no content, lets the workers write
// what they have fetched, and returns the items that are to be fetched by themselves.
func (b *bundle) share() (byThemselves []int, err error) {
	h := b.h
	all := h.toFetch()
	if h.manifest == nil {
		return all, nil
	}
	b.byEntry = make([]int32, h.manifest.Count)
	for _, i := range all {
		if n := h.items[i].entry; n > 0 {
			b.byEntry[n-1] = int32(i) + 1
		}
	}
	if b.covered == nil {
		b.begin(func(n int) bool { return b.byEntry[n] > 0 })
	}
	close(b.ready)
	entries := h.manifest.Items()
	for _, i := range all {
		it := &h.items[i]
		switch {
		case it.entry > 0 && it.size == 0:
			e, err := entries.Get(int(it.entry) - 1)
			if err != nil {
				return nil, err
			}
			if err := b.empty(i, it, e); err != nil {
				return nil, err
			}
		case it.entry > 0 && b.covered[it.entry-1]:
		default:
			byThemselves = append(byThemselves, i)
		}
	}
	return byThemselves, nil
}

// wait returns, when the workers are done, the items that they could not bring.
func (b *bundle) wait() []int {
	b.done.Wait()
	return b.left
}

// empty writes a directory or a file without content.
func (b *bundle) empty(i int, it *item, e *manifest.Entry) error {
	o, attr := b.h.vouched(it, e)
	if it.isMarker() {
		return b.settled(it, b.h.home.mark(it.key, it.path(), o, attr))
	}
	w := &writer{b: b}
	defer w.close()
	return w.write(i, it, e, nil)
}

// vouched is what the manifest knows of an item, as if the store had said it.
func (h *listing) vouched(it *item, e *manifest.Entry) (objectstore.Object, posixattr.Attr) {
	o := objectstore.Object{Key: h.prefix + it.key, ETag: e.ETag, Size: it.size, LastModified: time.Unix(it.modified, 0)}
	return o, posixattr.Attr{Mode: e.Mode, Mtime: e.Mtime}
}

// work fetches ranges and writes the files in them.
func (b *bundle) work() error {
	buf := make([]byte, manifest.RangeSize)
	w := &writer{b: b}
	defer w.close()
	entries := b.h.manifest.Items()
	for {
		n := int(b.next.Add(1)) - 1
		if n >= len(b.ranges) {
			return nil
		}
		r := &b.ranges[n]
		data, err := b.get(r, buf)
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		if err != nil {
			b.broken.Store(true) // the other ranges would cost as much time
			b.failed(err)
		}
		select {
		case <-b.ready:
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
		if err := b.writeRange(w, entries, r, data); err != nil {
			return err
		}
	}
}

func (b *bundle) get(r *manifest.Range, buf []byte) ([]byte, error) {
	m := b.h.manifest
	if b.broken.Load() {
		return nil, errBundle
	}
	body, err := b.h.Store.Get(b.h.patient(b.ctx), b.h.place.BundleKey(m.Bundle), objectstore.GetOptions{IfMatch: m.Bundle.ETag, Offset: r.Offset, Length: r.Length})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if _, err = io.ReadFull(body, buf[:r.Length]); err != nil {
		return nil, err
	}
	return buf[:r.Length], nil
}

// writeRange writes the files of a range; data is nil when it could not be had.
func (b *bundle) writeRange(w *writer, entries *manifest.Item, r *manifest.Range, data []byte) error {
	for _, n := range r.Items {
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		i := int(b.byEntry[n]) - 1
		if i < 0 {
			continue
		}
		if data == nil {
			b.leave(i)
			continue
		}
		e, err := entries.Get(n)
		if err != nil {
			return err
		}
		if err := w.write(i, &b.h.items[i], e, data[e.Offset-r.Offset:][:e.Size]); err != nil {
			return err
		}
	}
	return nil
}

// leave hands an item over to be fetched by itself.
func (b *bundle) leave(i int) {
	b.mu.Lock()
	b.left = append(b.left, i)
	b.mu.Unlock()
}

// writer writes contents, most of them into the directory of the one before.
type writer struct {
	b      *bundle
	dir    *tree.Dir
	opened bool
	parent string
}

func (w *writer) close() {
	if w.opened {
		w.dir.Close()
		w.opened = false
	}
}

func (w *writer) write(i int, it *item, e *manifest.Entry, content []byte) error {
	h := w.b.h
	sum := sha256.Sum256(content)
	o, attr := h.vouched(it, e)
	if len(content) > 0 && sum != e.SHA256 || fetch.Holdable(it.key, attr) != nil {
		w.b.failed(errMismatch)
		w.b.leave(i)
		return nil //nolint:nilerr // it is fetched by itself, which says why it cannot be here
	}
	path := it.path()
	parent, name := tree.Split(path)
	if !w.opened || w.parent != parent {
		w.close()
		dir, err := h.openDir(parent)
		if err != nil {
			return h.settled(it, err)
		}
		w.dir, w.parent, w.opened = dir, parent, true
	}
	err := h.bring(i, path, fetch.Target{Dir: w.dir, Name: name}, func(t fetch.Target) (journal.Entry, error) {
		return h.fetch.Content(&o, it.key, attr, content, sum, t)
	})
	return w.b.settled(it, err)
}

// settled is that of run for what took no request of its own.
func (b *bundle) settled(it *item, err error) error {
	if err == nil {
		b.h.mu.Lock()
		b.h.res.Bundled++
		b.h.mu.Unlock()
	}
	return b.h.settled(it, err)
}
