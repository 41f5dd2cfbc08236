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

// files is what is done to a file: its content and its attributes.
type files struct {
	*core
	tree     *tree
	changes  *changes
	contents *contents
}

// Handle is an open file.
type Handle struct {
	in    *files
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
func (fl *files) open(ctx context.Context, n *node, write bool) (*Handle, error) {
	fl.mu.Lock()
	if n.kind != pending.File {
		fl.mu.Unlock()
		return nil, syscall.EINVAL
	}
	if n.stale || n.displaced != "" || n.parent == nil && !fl.contents.orphanWhole(n) {
		fl.mu.Unlock()
		return nil, syscall.ESTALE
	}
	c, err := fl.contents.acquire(n)
	if err != nil {
		fl.mu.Unlock()
		return nil, err
	}
	n.own().opens++
	if write {
		n.own().writers++
	} else {
		fl.contents.openedInTurn(n)
	}
	// What a listing calls a small file may be a link: its metadata comes with its content.
	unknown := !n.modeKnown && !n.dirty() && n.size > 0 && n.size <= maxTarget
	fl.mu.Unlock()
	h := &Handle{in: fl, node: n, c: c, write: write}
	if unknown {
		err = c.fill(ctx, 0, n.size)
		fl.mu.Lock()
		stale := n.stale
		fl.mu.Unlock()
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
	fl, n := h.in, h.node
	fl.mu.Lock()
	defer fl.mu.Unlock()
	n.own().opens--
	if h.write {
		n.own().writers--
		fl.changes.requeue(n)
	}
	if n.opens == 0 && n.parent == nil {
		fl.changes.setOrigin(n, "")
	}
	h.c.release()
}

// requeue has a node's dirty key judged anew: it is open for writing no longer. With mu.
func (ch *changes) requeue(n *node) {
	if n.parent == nil {
		return
	}
	if s := ch.dirtyKeys[n.objectPath()]; s != nil && s.node == n && s.inReady > 0 && s.failures == 0 {
		s.due = ch.dueAt(s, time.Now())
		ch.ready.set(s)
		ch.wake()
	}
}

// Read pins a range of a file's content, fetching what is missing and reading ahead. When the
// cache or its disk has no room for it, the bytes are in direct instead, and are not kept.
func (h *Handle) Read(ctx context.Context, off int64, n int) (p cache.Pinned, direct []byte, err error) {
	h.mu.Lock()
	ahead := h.cur.advance(off, off+int64(n), h.in.contents.aheadLimit())
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
func (cs *contents) aheadLimit() int64 {
	_, dirty, limit := cs.cache.Used()
	return max(0, min(maxAhead, (limit-dirty)/4))
}

// beginWrite makes a file's content its own, before the first byte of it changes, and keeps a job
// that is under way from taking it for what it sent.
func (fl *files) beginWrite(ctx context.Context, n *node) (*content, error) {
	var c *content
	err := fl.withSpace(ctx, n, func() error {
		fl.mu.Lock()
		defer fl.mu.Unlock()
		if n.stale {
			return syscall.ESTALE
		}
		var err error
		if c, err = fl.contents.acquire(n); err != nil {
			return err
		}
		if err = fl.contents.beginDirty(n, true); err != nil {
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
func (fl *files) endWrite(n *node, c *content, changed bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	now := time.Now()
	n.own().writing--
	n.own().dataGen++
	if changed {
		n.setSize(c.file.Size())
		n.mtime, n.mtimeKnown = now.UnixNano(), true
		n.changed(now)
	}
	if n.covered {
		fl.changes.uncover(n)
	}
	c.release()
}

// beginDirty makes content dirty that is clean, and has the journal know when it is about to be
// changed by a write. With mu and with the content in use.
func (cs *contents) beginDirty(n *node, write bool) error {
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
		t := cs.changes.begin()
		t.undo(restore)
		if n.displaced != "" {
			cs.readmit(t, n)
		}
		t.want(n.objectPath(), n, n.remote())
		if err := t.commit(); err != nil {
			return err
		}
		if was.displaced != "" {
			cs.readmitted(n, was.displaced)
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
	fl, n := h.in, h.node
	if off+int64(len(b)) > maxFile {
		return 0, syscall.EFBIG
	}
	c, err := fl.beginWrite(ctx, n)
	if err != nil {
		return 0, err
	}
	done := 0
	defer func() { fl.endWrite(n, c, done > 0) }()
	err = fl.withSpace(ctx, n, func() error {
		m, err := c.file.WriteAt(b[done:], off+int64(done))
		for errors.Is(err, cache.ErrMissing) {
			// A block that is changed in part has to be whole first.
			if err = fl.fillEdges(ctx, c, off+int64(done), off+int64(len(b))); err == nil {
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
func (fl *files) fillEdges(ctx context.Context, c *content, off, end int64) error {
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
	fl, n := h.in, h.node
	fl.mu.Lock()
	idle := !n.dirty() || !n.live
	parts := !idle && fl.contents.goesUpInParts(n)
	fl.mu.Unlock()
	if idle || !h.write {
		return nil
	}
	if !parts {
		if err := h.c.fill(ctx, 0, h.c.file.Size()); err != nil {
			return err
		}
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.contents.settleData(n, n.synced)
}

// Sync returns when the content is on the local disk, and with it the journal's word of it. It
// is on its way to S3 then.
func (h *Handle) Sync(ctx context.Context) error {
	fl, n := h.in, h.node
	fl.mu.Lock()
	dirty := n.dirty()
	parts := dirty && fl.contents.goesUpInParts(n)
	fl.mu.Unlock()
	if dirty {
		if !parts {
			if err := h.c.fill(ctx, 0, h.c.file.Size()); err != nil {
				return err
			}
		}
		fl.mu.Lock()
		gen := n.dataGen
		fl.mu.Unlock()
		if err := h.c.file.Sync(); err != nil {
			return err
		}
		fl.mu.Lock()
		var err error
		if n.dataGen == gen {
			err = fl.contents.settleData(n, true)
		}
		fl.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return fl.journal.Sync()
}

// settleData has the journal know a file's mtime as it is now. With mu.
func (cs *contents) settleData(n *node, synced bool) error {
	if n.parent == nil || !n.dirty() || n.writing > 0 {
		return nil
	}
	live, was := n.live, n.synced
	t := cs.changes.begin()
	n.own().live, n.own().synced = false, synced
	t.undo(func() { n.own().live, n.own().synced = live, was })
	t.want(n.objectPath(), n, n.remote())
	return t.commit()
}
