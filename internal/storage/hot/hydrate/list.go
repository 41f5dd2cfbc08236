package hydrate

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// listings is how many ranges of hot/ are listed at a time.
const listings = 16

// list lists hot/ to its end, in the order of the keys, and marks what the manifest
// vouches for.
func (h *listing) list(ctx context.Context) ([]item, error) {
	if h.manifest == nil || h.manifest.Blocks() < 2 {
		return h.listRange(ctx, 0, "", "")
	}
	// A range ends with the key at which the next block begins, since StartAfter leaves
	// out the key that it names. The smallest key after another is that with a NUL.
	n := h.manifest.Blocks()
	parts := make([][]item, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listings)
	for b := range n {
		after, until := "", ""
		if b > 0 {
			after = h.prefix + h.manifest.First(b)
		}
		if b+1 < n {
			until = h.prefix + h.manifest.First(b+1) + "\x00"
		}
		g.Go(func() (err error) {
			parts[b], err = h.listRange(ctx, b, after, until)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// listRange lists the keys after one and before another, which are those of the
// manifest's given block and on.
func (h *listing) listRange(ctx context.Context, block int, after, until string) ([]item, error) {
	var items []item
	var keys arena
	known := h.manifest.From(block)
	for e, err := range h.Store.List(ctx, objectstore.ListOptions{Prefix: h.prefix, StartAfter: after, EndAt: until}) {
		if err != nil {
			return nil, err
		}
		key := e.Key[len(h.prefix):]
		if key == "" {
			continue // the home's own marker, which some tools make
		}
		it := newItem(&e, keys.keep(key))
		if known, n := known.Find(key); known != nil && h.vouches(known, &e) {
			it.entry = int32(n) + 1
		}
		items = append(items, it)
	}
	if err := known.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

// vouches says whether what the manifest knows is of this very version. Last-Modified
// has whole seconds: an object of the manifest's own second may be a later one.
func (h *listing) vouches(known *manifest.Entry, e *objectstore.Entry) bool {
	return known.ETag != "" && known.ETag == e.ETag && known.Size == e.Size && e.LastModified.Before(h.manifest.AsOf)
}
