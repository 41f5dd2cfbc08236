package cold

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

const (
	// smallBody is what is fetched whole and checked against the store's checksum before a
	// byte of it is believed.
	smallBody = 4 * cache.BlockSize

	// fetchers is how many GETs of content run at a time.
	fetchers = 32

	// wrongMost is how often content is asked for again that does not have its checksum.
	wrongMost = 3
)

var errNoProgress = errors.New("S3 sent nothing for too long")

// extent is a range that is being fetched.
type extent struct {
	off, end int64
	done     bool
	err      error
}

var blockBuffers = sync.Pool{New: func() any { return new([cache.BlockSize]byte) }}

// fill returns when a range is here, or why it will not be.
func (c *content) fill(ctx context.Context, off, end int64) error {
	for {
		lack, any := c.file.Missing(off, end)
		if !any {
			return nil
		}
		// Several parts at once, the first of them waited for.
		c.expect(lack.Off, min(end, lack.Off+maxAhead))
		if err := c.await(ctx, lack.Off); err != nil {
			return err
		}
	}
}

// await returns when the block at off is here. Some extent may be about to bring it; when none
// is, one is begun.
func (c *content) await(ctx context.Context, off int64) error {
	if c.file.Here(off) {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.arrived.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.covering(off)
	if e == nil {
		if e = c.start(off, off+c.missLength()); e == nil {
			if c.err != nil {
				return c.err
			}
			return nil // it came meanwhile
		}
	}
	for !c.file.Here(off) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.done {
			return e.err // without an error: the block was evicted again, or the source moved
		}
		c.arrived.Wait()
	}
	return nil
}

func (c *content) covering(off int64) *extent {
	for _, e := range c.extents {
		if e.off <= off && off < e.end {
			return e
		}
	}
	return nil
}

// start begins to fetch what is missing at off and up to end, as far as it is in one piece and
// no other fetch brings it. With mu.
func (c *content) start(off, end int64) *extent {
	if c.err != nil {
		return nil
	}
	lack, any := c.file.Missing(off, min(end, c.file.Size()))
	if !any || lack.Off != off {
		return nil
	}
	e := &extent{off: lack.Off, end: lack.End}
	for _, o := range c.extents {
		if o.off > e.off && o.off < e.end {
			e.end = o.off
		}
	}
	c.extents = append(c.extents, e)
	c.fetches++
	go c.run(c.ctx, e, c.key, c.etag, c.size)
	return e
}

// run fetches one extent.
func (c *content) run(ctx context.Context, e *extent, key, etag string, size int64) {
	cs := c.in
	err := c.get(ctx, e, key, etag, size)
	for range wrongMost {
		if !errors.Is(err, objectstore.ErrChecksum) {
			break
		}
		cs.log.Warn("what S3 sent is not what its checksum says; it is asked for again", "event", "cold_checksum", "key", key)
		err = c.get(ctx, e, key, etag, size)
	}
	gone := errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrNotFound)
	c.mu.Lock()
	for i, o := range c.extents {
		if o == e {
			c.extents = append(c.extents[:i], c.extents[i+1:]...)
			break
		}
	}
	if gone && (c.key != key || c.etag != etag) {
		err, gone = nil, false // it was copied to where it is now: ask there
	}
	if gone {
		c.err = err
	}
	if errors.Is(err, context.Canceled) && cs.ctx.Err() == nil && !errors.Is(context.Cause(ctx), errNoProgress) {
		err = nil // broken off for lack of readers; there may be one now
	}
	e.done, e.err = true, err
	c.arrived.Broadcast()
	c.mu.Unlock()
	cs.mu.Lock()
	c.mu.Lock()
	c.fetches--
	c.mu.Unlock()
	if gone && !c.node.stale {
		c.node.stale = true
		cs.tree.expire(c.node.parent)
		cs.log.Info("a file that is being read was changed or removed in S3", "event", "cold_stale", "key", key)
	}
	c.settle()
	cs.mu.Unlock()
}

// get reads an extent's bytes into the cache, block after block.
func (c *content) get(ctx context.Context, e *extent, key, etag string, size int64) error {
	cs := c.in
	select {
	case cs.fetching <- struct{}{}:
		defer func() { <-cs.fetching }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(cs.patience, func() { cancel(errNoProgress) })
	defer watchdog.Stop()

	o := objectstore.GetOptions{IfMatch: etag}
	small := e.off == 0 && e.end == size && size <= smallBody
	if !small {
		o.Offset, o.Length = e.off, e.end-e.off
	}
	rd, err := cs.store.Get(ctx, key, o)
	if err != nil {
		return progressError(ctx, err)
	}
	defer rd.Close()
	if small {
		return progressError(ctx, c.getSmall(rd, size))
	}
	cs.mu.Lock()
	cs.applyAttrs(c.node, rd.Object, nil)
	cs.mu.Unlock()
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	for at := e.off; at < e.end; {
		b := buf[:min(cache.BlockSize, e.end-at)]
		if _, err := io.ReadFull(rd, b); err != nil {
			return progressError(ctx, err)
		}
		watchdog.Reset(cs.patience)
		if err := c.file.Fill(at, b); err != nil {
			return err
		}
		at += int64(len(b))
		c.mu.Lock()
		c.arrived.Broadcast()
		c.mu.Unlock()
	}
	return nil
}

// getSmall reads a whole object and believes it when its checksum is right.
func (c *content) getSmall(rd *objectstore.Reader, size int64) error {
	b := make([]byte, size)
	if _, err := io.ReadFull(rd, b); err != nil {
		return err
	}
	if _, err := rd.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	c.in.mu.Lock()
	c.in.applyAttrs(c.node, rd.Object, b)
	c.in.mu.Unlock()
	for at := int64(0); at < size; at += cache.BlockSize {
		if err := c.file.Fill(at, b[at:min(at+cache.BlockSize, size)]); err != nil {
			return err
		}
	}
	return nil
}

// progressError is what a fetch failed with: the watchdog's reason rather than the
// cancellation that it caused.
func progressError(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errNoProgress) {
		return errNoProgress
	}
	return err
}
