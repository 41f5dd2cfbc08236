package cold

import (
	"context"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// content is the bytes of a file while it has users: the cached file, and the extents that are
// being fetched into it.
type content struct {
	fs   *FS
	node *node
	file *cache.File

	users int // handles, jobs, readers; with FS.mu

	mu      sync.Mutex
	arrived sync.Cond // a block came, or an extent ended
	key     string    // where what is missing comes from
	etag    string
	size    int64
	extents []*extent
	fetches int   // goroutines of extents
	err     error // the version is gone
	misses  int   // reads that were neither cached nor expected
	ctx     context.Context
	stop    context.CancelFunc
}

// acquire gives the content of a file, opening it for the first user. With mu.
func (fs *FS) acquire(n *node) (*content, error) {
	c := n.content
	if c == nil {
		c = &content{fs: fs, node: n, etag: n.remote.ETag, size: n.remote.Size}
		c.arrived.L = &c.mu
		var err error
		if c.key, err = fs.contentKey(n); err != nil {
			return nil, err
		}
		if n.dirty() {
			c.file, err = fs.cache.OpenDirty(n.data)
		} else {
			c.file, err = fs.cache.Checkout(cache.VersionID(c.key, c.etag, c.size), c.size)
		}
		if err != nil {
			return nil, err
		}
		n.own().content = c
	}
	c.users++
	if c.ctx == nil || c.ctx.Err() != nil {
		c.mu.Lock()
		c.ctx, c.stop = context.WithCancel(fs.ctx)
		c.mu.Unlock()
	}
	return c, nil
}

// contentKey is where the remote content of a node is; empty: there is none. With mu.
func (fs *FS) contentKey(n *node) (string, error) {
	switch {
	case n.remote.ETag == "":
		return "", nil
	case n.parent == nil && n.origin == "":
		return n.lastKey, nil
	}
	key, err := keyOf(n.source())
	return fs.prefix + key, err
}

// release ends a use. The end of the last one breaks off the fetches under way. With mu.
func (c *content) release() {
	c.users--
	if c.users == 0 {
		c.stop()
		c.settle()
	}
}

// settle gives the file back to the cache when nothing uses it. With FS.mu.
func (c *content) settle() {
	c.mu.Lock()
	busy := c.users > 0 || c.fetches > 0
	c.mu.Unlock()
	n := c.node
	if busy || n.content != c {
		return
	}
	n.own().content = nil
	c.fs.setOriginOfOrphan(n)
	c.file.Return()
	c.fs.dropOrphan(n)
	c.fs.slim(n)
}

// moved says that the content is at another key, or in another version, from now on.
func (c *content) moved(key string, v version) {
	c.mu.Lock()
	c.key, c.etag, c.size, c.err = key, v.ETag, v.Size, nil
	c.mu.Unlock()
}

// fillAll brings what is missing of a file.
func (fs *FS) fillAll(ctx context.Context, n *node) error {
	fs.mu.Lock()
	if n.parent == nil && n.opens == 0 {
		fs.mu.Unlock()
		return nil // it is removed, and no process has it open any more
	}
	c, err := fs.acquire(n)
	fs.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		fs.mu.Lock()
		c.release()
		fs.mu.Unlock()
	}()
	return c.fill(ctx, 0, c.file.Size())
}

// bringHere makes a file's remote content its own dirty content, whole in the cache, where
// nothing evicts it: S3 may lose it then.
func (fs *FS) bringHere(ctx context.Context, n *node) error {
	fs.mu.Lock()
	if n.dirty() || n.kind != pending.File || n.parent == nil && n.opens == 0 {
		fs.mu.Unlock()
		return nil
	}
	c, err := fs.acquire(n)
	if err == nil {
		if err = fs.beginDirty(n, false); err != nil {
			c.release()
		}
	}
	fs.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.fill(ctx, 0, c.file.Size())
	fs.mu.Lock()
	defer fs.mu.Unlock()
	defer c.release()
	if err == nil && c.file.Whole() {
		fs.setOrigin(n, "")
	}
	return err
}

// localize is bringHere in the background, once. A file that cannot be had any more lets go
// of its key all the same: its readers get ESTALE. With mu.
func (fs *FS) localize(n *node) {
	if n.kind != pending.File || n.localizing {
		if n.kind != pending.File {
			fs.setOrigin(n, "") // a link's or a marker's content is in the node
		}
		return
	}
	n.own().localizing = true
	fs.background(func() {
		err := fs.bringHere(fs.ctx, n)
		if err == nil {
			err = fs.fillAll(fs.ctx, n)
		}
		fs.mu.Lock()
		defer fs.mu.Unlock()
		n.own().localizing = false
		if err == nil {
			fs.setOrigin(n, "")
		} else if noSpace(err) {
			fs.retryLocalize(n)
		} else if n.parent == nil && !away(err) {
			fs.log.Info("a file that was removed while it was open can only be read as far as it is cached", "event", "cold_orphan", "error", err)
			fs.setOrigin(n, "")
		}
		fs.recheck()
	})
}

// retryLocalize waits for room in the cache, in the background. What needs the key waits so long.
func (fs *FS) retryLocalize(n *node) {
	changed := fs.cache.Changed()
	fs.background(func() {
		later := time.NewTimer(retryFirst)
		defer later.Stop()
		select {
		case <-changed:
		case <-later.C:
		case <-fs.ctx.Done():
			return
		}
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if n.origin != "" {
			fs.localize(n)
		}
	})
}

// setOriginOfOrphan lets go of the key of a removed file that no process has open any more. With mu.
func (fs *FS) setOriginOfOrphan(n *node) {
	if n.parent == nil && n.origin != "" {
		fs.setOrigin(n, "")
	}
}
