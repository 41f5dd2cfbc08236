package cold

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// Handle is an open file.
type Handle struct {
	fs    *FS
	node  *node
	c     *content
	write bool

	mu  sync.Mutex
	cur cursor
}

func newDataName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// open opens a file. ESTALE when another client replaced its object: the kernel looks the name up
// again then, and opens what is there now.
func (fs *FS) open(ctx context.Context, n *node, write bool) (*Handle, error) {
	fs.mu.Lock()
	if n.kind != pending.File {
		fs.mu.Unlock()
		return nil, syscall.EINVAL
	}
	if n.stale || n.displaced != "" || n.parent == nil && !fs.orphanWhole(n) {
		fs.mu.Unlock()
		return nil, syscall.ESTALE
	}
	c, err := fs.acquire(n)
	if err != nil {
		fs.mu.Unlock()
		return nil, err
	}
	n.own().opens++
	if write {
		n.own().writers++
	} else {
		fs.openedInTurn(n)
	}
	// What a listing calls a small file may be a link: its metadata comes with its content.
	unknown := !n.modeKnown && !n.dirty() && n.size > 0 && n.size <= maxTarget
	fs.mu.Unlock()
	h := &Handle{fs: fs, node: n, c: c, write: write}
	if unknown {
		err = c.fill(ctx, 0, n.size)
		fs.mu.Lock()
		stale := n.stale
		fs.mu.Unlock()
		if stale {
			h.Close()
			return nil, syscall.ESTALE
		}
		if err != nil && !away(err) && !errors.Is(err, cache.ErrFull) {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// Close ends the handle.
func (h *Handle) Close() {
	fs, n := h.fs, h.node
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n.own().opens--
	if h.write {
		n.own().writers--
		fs.requeue(n)
	}
	if n.opens == 0 && n.parent == nil {
		fs.setOrigin(n, "")
	}
	h.c.release()
}

// requeue has a node's dirty key judged anew: it is open for writing no longer. With mu.
func (fs *FS) requeue(n *node) {
	if n.parent == nil {
		return
	}
	if s := fs.dirtyKeys[n.objectPath()]; s != nil && s.node == n && s.inReady > 0 && s.failures == 0 {
		s.due = fs.dueAt(s, time.Now())
		fs.ready.set(s)
		fs.wake()
	}
}

// Read pins a range of a file's content, fetching what is missing and reading ahead. When the
// cache or its disk has no room for it, the bytes are in direct instead, and are not kept.
func (h *Handle) Read(ctx context.Context, off int64, n int) (p cache.Pinned, direct []byte, err error) {
	h.mu.Lock()
	ahead := h.cur.advance(off, off+int64(n), h.fs.aheadLimit())
	h.mu.Unlock()
	if ahead > off+int64(n) {
		h.c.expect(off, ahead)
	}
	for {
		p, lack, ok := h.c.file.Pin(off, n)
		if ok {
			return p, nil, nil
		}
		err := h.c.await(ctx, lack.Off)
		if errors.Is(err, cache.ErrFull) {
			direct, err = h.c.readPast(ctx, off, n)
			return p, direct, err
		}
		if err != nil {
			return p, nil, err
		}
	}
}

// aheadLimit bounds read-ahead by what the cache can hold.
func (fs *FS) aheadLimit() int64 {
	_, dirty, limit := fs.cache.Used()
	return max(0, min(maxAhead, (limit-dirty)/4))
}

// beginWrite makes a file's content its own, before the first byte of it changes, and keeps a job
// that is under way from taking it for what it sent.
func (fs *FS) beginWrite(ctx context.Context, n *node) (*content, error) {
	var c *content
	err := fs.withSpace(ctx, n, func() error {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if n.stale {
			return syscall.ESTALE
		}
		var err error
		if c, err = fs.acquire(n); err != nil {
			return err
		}
		if err = fs.beginDirty(n, true); err != nil {
			c.release()
			return err
		}
		n.own().writing++
		n.own().dataGen++
		return nil
	})
	return c, err
}

// endWrite notes what a write has changed, which is nothing when it was refused.
func (fs *FS) endWrite(n *node, c *content, changed bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	now := time.Now()
	n.own().writing--
	n.own().dataGen++
	if changed {
		n.size = c.file.Size()
		n.mtime, n.mtimeKnown = now.UnixNano(), true
		n.changed(now)
	}
	if n.covered {
		fs.uncover(n)
	}
	c.release()
}

// beginDirty makes content dirty that is clean, and has the journal know when it is about to be
// changed by a write. With mu and with the content in use.
func (fs *FS) beginDirty(n *node, write bool) error {
	if n.dirty() && (!write || n.live && !n.synced) {
		return nil
	}
	if n.displaced != "" && !n.content.file.Whole() {
		return syscall.ESTALE // the rest of it is nowhere any more
	}
	was := *n.extra
	restore := func() { n.own().data, n.own().live, n.own().synced = was.data, was.live, was.synced }
	if !n.dirty() {
		n.own().data = newDataName()
		n.own().dataGen++ // a copy that is under way must not make it clean
	}
	n.own().live, n.own().synced = write, false
	if n.parent != nil || n.displaced != "" {
		// The journal first: it may speak of a file that is not there (then nothing was
		// written), but no content may be there of which it does not speak.
		t := fs.begin()
		t.undo(restore)
		if n.displaced != "" {
			fs.readmit(t, n)
		}
		t.want(n.objectPath(), n, n.remote)
		if err := t.commit(); err != nil {
			return err
		}
		if was.displaced != "" {
			fs.readmitted(n, was.displaced)
		}
	}
	if was.data != "" {
		return nil
	}
	if err := n.content.file.BeginDirty(n.data); err != nil {
		restore()
		return err
	}
	return nil
}

// WriteAt writes to the file.
func (h *Handle) WriteAt(ctx context.Context, b []byte, off int64) (int, error) {
	fs, n := h.fs, h.node
	if off+int64(len(b)) > maxFile {
		return 0, syscall.EFBIG
	}
	c, err := fs.beginWrite(ctx, n)
	if err != nil {
		return 0, err
	}
	done := 0
	defer func() { fs.endWrite(n, c, done > 0) }()
	err = fs.withSpace(ctx, n, func() error {
		m, err := c.file.WriteAt(b[done:], off+int64(done))
		for errors.Is(err, cache.ErrMissing) {
			// A block that is changed in part has to be whole first.
			if err = fs.fillEdges(ctx, c, off+int64(done), off+int64(len(b))); err == nil {
				m, err = c.file.WriteAt(b[done:], off+int64(done))
			}
		}
		done += m
		if err == nil && done < len(b) {
			err = cache.ErrFull
		}
		return err
	})
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// fillEdges brings the blocks in which a write begins and ends.
func (fs *FS) fillEdges(ctx context.Context, c *content, off, end int64) error {
	for _, at := range []int64{off, end - 1} {
		if at < c.file.Size() {
			if err := c.await(ctx, at-at%cache.BlockSize); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush ends a series of writes: close(2) reports its error. All that was written is in the cache when it
// returns without one, and so is the rest of the content, unless S3 is to take that from the version that
// it has.
func (h *Handle) Flush(ctx context.Context) error {
	fs, n := h.fs, h.node
	fs.mu.Lock()
	idle := !n.dirty() || !n.live
	parts := !idle && fs.goesUpInParts(n)
	fs.mu.Unlock()
	if idle || !h.write {
		return nil
	}
	if !parts {
		if err := h.c.fill(ctx, 0, h.c.file.Size()); err != nil {
			return err
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.settleData(n, n.synced)
}

// Sync returns when the content is on the local disk, and with it the journal's word of it. It
// is on its way to S3 then.
func (h *Handle) Sync(ctx context.Context) error {
	fs, n := h.fs, h.node
	fs.mu.Lock()
	dirty := n.dirty()
	parts := dirty && fs.goesUpInParts(n)
	fs.mu.Unlock()
	if dirty {
		if !parts {
			if err := h.c.fill(ctx, 0, h.c.file.Size()); err != nil {
				return err
			}
		}
		fs.mu.Lock()
		gen := n.dataGen
		fs.mu.Unlock()
		if err := h.c.file.Sync(); err != nil {
			return err
		}
		fs.mu.Lock()
		var err error
		if n.dataGen == gen {
			err = fs.settleData(n, true)
		}
		fs.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return fs.journal.Sync()
}

// settleData has the journal know a file's mtime as it is now. With mu.
func (fs *FS) settleData(n *node, synced bool) error {
	if n.parent == nil || !n.dirty() || n.writing > 0 {
		return nil
	}
	live, was := n.live, n.synced
	t := fs.begin()
	n.own().live, n.own().synced = false, synced
	t.undo(func() { n.own().live, n.own().synced = live, was })
	t.want(n.objectPath(), n, n.remote)
	return t.commit()
}
