package hydrate

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/threads"
)

const (
	getters = 64 // requests for whole objects at a time

	// largeGetters is how many large objects come at a time, each in several ranges.
	largeGetters = 3
	largeObject  = 16 << 20
)

// toFetch are the items that are to be fetched.
func (h *run) toFetch() []int {
	var is []int
	for i := range h.items {
		if v := h.items[i].verdict; v == fetched || v == directory {
			is = append(is, i)
		}
	}
	return is
}

// fetchAll fetches items by requests of their own, biggest first, so that no large one
// is begun when all others are done.
func (h *run) fetchAll(ctx context.Context, items []int) error {
	slices.SortFunc(items, func(a, b int) int {
		return cmp.Or(-cmp.Compare(h.items[a].size, h.items[b].size), cmp.Compare(a, b))
	})
	large, _ := slices.BinarySearchFunc(items, int64(largeObject), func(i int, size int64) int {
		return cmp.Compare(size, h.items[i].size)
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.fetchSome(ctx, items[:large], largeGetters) })
	g.Go(func() error { return h.fetchSome(ctx, items[large:], getters) })
	return g.Wait()
}

func (h *run) fetchSome(ctx context.Context, items []int, workers int) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(workers, len(items)) {
		g.Go(func() error {
			for {
				n := next.Add(1) - 1
				if n >= int64(len(items)) {
					return nil
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := h.fetchOne(ctx, items[n]); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// fetchOne fetches one item of any kind. One that could not be compared is compared first.
func (h *run) fetchOne(ctx context.Context, i int) error {
	it := &h.items[i]
	if it.isOpen() {
		if err := (comparer{h}).compareOne(ctx, i, h.manifest.Items()); err != nil || it.verdict != fetched {
			return err
		}
	}
	err := h.fetchTo(h.patient(ctx), i, it)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if h.putOff(ctx, i, err) {
		return nil
	}
	return h.settled(it, err)
}

// settled counts an item that was brought, and reports one that cannot be here. What
// remains is an error that ends it all.
func (h *run) settled(it *item, err error) error {
	var refused *fetch.Refused
	if errors.As(err, &refused) {
		h.keep(it.key, refused.Reason)
		return nil
	}
	if reason, ok := h.unreadable(err); ok {
		h.denied(err)
		h.keep(it.key, reason)
		return nil
	}
	if err != nil {
		return h.onDisk(err)
	}
	h.Progress.Files.Add(1)
	h.Progress.Bytes.Add(it.size)
	h.mu.Lock()
	h.res.Files++
	h.res.Bytes += it.size
	h.mu.Unlock()
	return nil
}

func (h *run) fetchTo(ctx context.Context, i int, it *item) error {
	path := it.path()
	if it.isMarker() {
		o, attr, err := h.fetch.Directory(ctx, it.key)
		if err == nil {
			attr, err = h.markerAttr(it, o, attr)
		}
		if err != nil {
			return err
		}
		return h.home.mark(it.key, path, o, attr)
	}
	parent, name := tree.Split(path)
	dir, err := h.openDir(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	src := h.source(it)
	return h.bring(i, path, fetch.Target{Dir: dir, Name: name}, func(t fetch.Target) (journal.Entry, error) {
		return h.fetch.Fetch(ctx, src, t)
	})
}

// source is an item as it is fetched. Of a large one, whose hash is not taken while it comes, the manifest may know it.
func (h *listing) source(it *item) fetch.Source {
	src := fetch.Source{Key: it.key, ETag: it.etag(), Size: it.size}
	if it.entry == 0 || it.size <= largeObject {
		return src
	}
	if e, err := h.manifest.Items().Get(int(it.entry) - 1); err == nil && e.Hashed {
		src.SHA256 = e.SHA256
	}
	return src
}

func (h *run) openDir(path string) (*tree.Dir, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return h.home.open(path)
}

func (h *run) gatedMoveAside(path string) error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return h.home.moveAside(path)
}

// bringAttempts bounds how often something new is moved out of the way at a path.
const bringAttempts = 3

// bring brings an item to its path by get, and moves aside a file that a process has put there
// since it was looked at.
func (h *run) bring(i int, path string, t fetch.Target, get func(fetch.Target) (journal.Entry, error)) error {
	h.mu.Lock()
	if seen, ok := h.seen[i]; ok {
		t.Seen = &seen
	}
	h.mu.Unlock()
	if !h.empty {
		// Not before theirs is here: the file at the path is no database without its log.
		t.Before = func() error { return h.clearMembers(&h.items[i], path, t.Dir, t.Name, t.Seen != nil) }
	}
	for attempt := 1; ; attempt++ {
		e, err := get(t)
		if err == nil {
			return h.record(e)
		}
		if attempt == bringAttempts || !errors.Is(err, fs.ErrExist) && !errors.Is(err, tree.ErrChanged) {
			return err
		}
		if err := h.gatedMoveAside(path); err != nil {
			return err
		}
		t.Seen = nil
	}
}

// record journals what was written.
func (h *run) record(e journal.Entry) error {
	h.mu.Lock()
	if whole, ok := h.whole[e.Path]; ok {
		e.Whole = whole
	}
	h.mu.Unlock()
	return h.home.record(e)
}
