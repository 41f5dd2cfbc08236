package hydrate

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// checkSpace says that the disk is too small before anything is fetched, rather than
// after an hour of it. What counts are the blocks that will be written.
func (h *run) checkSpace(ctx context.Context) error {
	space, err := h.Root.Space()
	if err != nil {
		return err
	}
	var files, bytes, need int64
	for i := range h.items {
		it := &h.items[i]
		if it.verdict != fetched && it.verdict != directory {
			continue
		}
		files++
		bytes += it.size
		need += (it.size + space.BlockSize - 1) / space.BlockSize * space.BlockSize
		if old, ok := h.seen[i]; ok {
			need -= old.Blocks * 512
		}
	}
	h.Progress.WantFiles.Store(files)
	h.Progress.WantBytes.Store(bytes)
	h.Log.Info("hydrating", "event", "hydrate_plan", "files", files, "bytes", bytes, "objects", h.res.Objects, "stale", h.res.Stale, "manifest", h.manifest != nil)
	if need > space.Bytes {
		holes, err := h.holes(ctx)
		if err != nil {
			return err
		}
		need -= holes
	}
	if need > space.Bytes {
		return &DiskFullError{Home: h.Root.Name(), NeedBytes: need, HaveBytes: space.Bytes}
	}
	if inodes := files + int64(len(h.home.dirs)); space.Files >= 0 && inodes-int64(len(h.seen)) > space.Files && files > 0 {
		return &DiskFullError{Home: h.Root.Name(), NeedInodes: inodes, HaveFiles: space.Files}
	}
	return nil
}

// holes is how much of what is to be fetched will not take room, since it is sparse. A listing does
// not tell: the large objects are asked, and only where the disk is too small for all of them.
func (h *run) holes(ctx context.Context) (int64, error) {
	var sum atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for i := range h.items {
		it := &h.items[i]
		if it.verdict != fetched || it.size < largeObject {
			continue
		}
		g.Go(func() error {
			o, err := h.Store.Head(ctx, h.prefix+it.key)
			if errors.Is(err, objectstore.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			attr, _ := posixattr.Decode(o.Metadata, o.LastModified, false)
			sum.Add(min(attr.Holes, it.size))
			return nil
		})
	}
	err := g.Wait()
	return sum.Load(), err
}

// settle waits until the clock that gives files their ctime has gone on from the
// newest one: a write in that very tick (4 ms) that keeps the size would not show in
// the stat. A clock that was set back is not waited for.
func settle(newest int64) {
	const tick = time.Millisecond
	for range 20 {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil || now.Nano() > newest {
			return
		}
		time.Sleep(tick)
	}
}
