package cold

import (
	"errors"
	"log/slog"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Options of New.
type Options struct {
	Config *config.Config
	Store  *objectstore.Store
	Fence  lease.Fence
	Log    *slog.Logger

	// Patience is how long S3 may say nothing before a program that waits for it gets EIO;
	// 20 s.
	Patience time.Duration

	// Quiet is how long a file is left alone before it goes up, since most of what writes a
	// file renames it or sets its times right afterwards; 250 ms.
	Quiet time.Duration
}

// FS is the cold path of one sandbox: its operations, made of parts. A part knows those above it in this list alone.
type FS struct {
	*core
	index     *attrIndex
	tree      *tree
	changes   *changes
	contents  *contents
	listings  *listings
	writeback *writeback
	files     *files
	names     *names

	damaged []contract.Unsaved // what this process had to set aside
}

// New takes up the cold path where an earlier process left it: what is pending in the cache goes
// up. It asks S3 for nothing.
func New(o Options) (*FS, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, dir, found, err := openCore(o)
	if err != nil {
		return nil, err
	}
	fs := &FS{core: c}
	if fs.index, err = openIndex(c, dir); err != nil {
		return nil, errors.Join(err, c.close())
	}
	fs.tree = newTree(c)
	fs.changes = newChanges(c, fs.tree)
	fs.contents = newContents(c, fs.tree, fs.changes, fs.index)
	fs.listings = &listings{core: c, tree: fs.tree, changes: fs.changes, contents: fs.contents, index: fs.index}
	fs.writeback = newWriteback(c, fs.tree, fs.changes, fs.contents, fs.listings)
	fs.files = &files{core: c, tree: fs.tree, changes: fs.changes, contents: fs.contents}
	fs.names = &names{core: c, tree: fs.tree, changes: fs.changes, contents: fs.contents, listings: fs.listings, files: fs.files}
	r := &recovery{core: c, tree: fs.tree, changes: fs.changes, contents: fs.contents}
	err = r.recover(found)
	if fs.damaged = r.damaged; err != nil {
		c.stop()
		return nil, errors.Join(err, fs.index.close(), c.close())
	}
	c.wg.Add(2)
	go fs.writeback.dispatch()
	go func() {
		defer c.wg.Done()
		fs.index.load()
	}()
	return fs, nil
}

// Close ends what runs in the background, and lets go of the cache. What is pending stays
// pending; Flush brings it to S3 first.
func (fs *FS) Close() error {
	fs.mu.Lock()
	fs.stop() // with mu: see background
	fs.mu.Unlock()
	fs.wg.Wait()
	return errors.Join(fs.index.close(), fs.core.close())
}
