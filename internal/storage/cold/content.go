package cold

import (
	"context"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// contents is the bytes of files: the cache, and what is fetched into it.
type contents struct {
	*core
	tree     *tree
	changes  *changes
	index    *attrIndex
	fetching chan struct{} // a place for each GET of content
	guessing chan struct{} // a place for each file that is fetched ahead
}

func newContents(c *core, tr *tree, ch *changes, index *attrIndex) *contents {
	return &contents{
		core: c, tree: tr, changes: ch, index: index,
		fetching: make(chan struct{}, fetchers), guessing: make(chan struct{}, neighbourJobs),
	}
}

// content is the bytes of a file while it has users: the cached file, and the extents that are
// being fetched into it.
type content struct {
	in   *contents
	node *node
	file *cache.File

	users int // handles, jobs, readers; with core.mu

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
func (cs *contents) acquire(n *node) (*content, error) {
	c := n.content
	if c == nil {
		c = &content{in: cs, node: n, etag: n.remote().ETag, size: n.remote().Size}
		c.arrived.L = &c.mu
		var err error
		if c.key, err = cs.contentKey(n); err != nil {
			return nil, err
		}
		if n.dirty() {
			c.file, err = cs.cache.OpenDirty(n.data)
		} else {
			c.file, err = cs.cache.Checkout(cache.VersionID(c.key, c.etag, c.size), c.size)
		}
		if err != nil {
			return nil, err
		}
		n.own().content = c
	}
	c.users++
	if c.ctx == nil || c.ctx.Err() != nil {
		c.mu.Lock()
		c.ctx, c.stop = context.WithCancel(cs.ctx)
		c.mu.Unlock()
	}
	return c, nil
}

// contentKey is where the remote content of a node is; empty: there is none. With mu.
func (cs *contents) contentKey(n *node) (string, error) {
	switch {
	case !n.hasRemote():
		return "", nil
	case n.parent == nil && n.origin == "":
		return n.lastKey, nil
	}
	key, err := keyOf(n.source())
	return cs.prefix + key, err
}

// release ends a use. The end of the last one breaks off the fetches under way. With mu.
func (c *content) release() {
	c.users--
	if c.users == 0 {
		c.stop()
		c.settle()
	}
}

// settle gives the file back to the cache when nothing uses it. With core.mu.
func (c *content) settle() {
	c.mu.Lock()
	busy := c.users > 0 || c.fetches > 0
	c.mu.Unlock()
	n := c.node
	if busy || n.content != c {
		return
	}
	n.own().content = nil
	c.in.setOriginOfOrphan(n)
	c.file.Return()
	c.in.dropOrphan(n)
	c.in.changes.slim(n)
}

// moved says that the content is at another key, or in another version, from now on.
func (c *content) moved(key string, v version) {
	c.mu.Lock()
	c.key, c.etag, c.size, c.err = key, v.ETag, v.Size, nil
	c.mu.Unlock()
}

// fillAll brings what is missing of a file.
func (cs *contents) fillAll(ctx context.Context, n *node) error {
	cs.mu.Lock()
	if n.parent == nil && n.opens == 0 {
		cs.mu.Unlock()
		return nil // it is removed, and no process has it open any more
	}
	c, err := cs.acquire(n)
	cs.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		cs.mu.Lock()
		c.release()
		cs.mu.Unlock()
	}()
	return c.fill(ctx, 0, c.file.Size())
}

// bringHere makes a file's remote content its own dirty content, whole in the cache, where
// nothing evicts it: S3 may lose it then.
func (cs *contents) bringHere(ctx context.Context, n *node) error {
	cs.mu.Lock()
	if n.dirty() || n.kind != pending.File || n.parent == nil && n.opens == 0 {
		cs.mu.Unlock()
		return nil
	}
	c, err := cs.acquire(n)
	if err == nil {
		if err = cs.beginDirty(n, false); err != nil {
			c.release()
		}
	}
	cs.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.fill(ctx, 0, c.file.Size())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	defer c.release()
	if err == nil && c.file.Whole() {
		cs.changes.setOrigin(n, "")
	}
	return err
}

// localize is bringHere in the background, once. A file that cannot be had any more lets go
// of its key all the same: its readers get ESTALE. With mu.
func (cs *contents) localize(n *node) {
	if n.kind != pending.File || n.localizing {
		if n.kind != pending.File {
			cs.changes.setOrigin(n, "") // a link's or a marker's content is in the node
		}
		return
	}
	n.own().localizing = true
	cs.background(func() {
		err := cs.bringHere(cs.ctx, n)
		if err == nil {
			err = cs.fillAll(cs.ctx, n)
		}
		cs.mu.Lock()
		defer cs.mu.Unlock()
		n.own().localizing = false
		if err == nil {
			cs.changes.setOrigin(n, "")
		} else if noSpace(err) {
			cs.retryLocalize(n)
		} else if n.parent == nil && !away(err) {
			cs.log.Info("a file that was removed while it was open can only be read as far as it is cached", "event", "cold_orphan", "error", err)
			cs.changes.setOrigin(n, "")
		}
		cs.changes.recheck()
	})
}

// retryLocalize waits for room in the cache, in the background. What needs the key waits so long.
func (cs *contents) retryLocalize(n *node) {
	changed := cs.cache.Changed()
	cs.background(func() {
		later := time.NewTimer(retryFirst)
		defer later.Stop()
		select {
		case <-changed:
		case <-later.C:
		case <-cs.ctx.Done():
			return
		}
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if n.origin != "" {
			cs.localize(n)
		}
	})
}

// setOriginOfOrphan lets go of the key of a removed file that no process has open any more. With mu.
func (cs *contents) setOriginOfOrphan(n *node) {
	if n.parent == nil && n.origin != "" {
		cs.changes.setOrigin(n, "")
	}
}
