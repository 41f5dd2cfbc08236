package cold

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/contract"
)

// List describes a file, or what is in a directory: all that is below it where recursive says so. dirAttrs
// asks S3 for the modes of directories that are not known. What S3 has is listed before List returns; the
// entries are made while they are taken, as the tree is then.
func (fs *FS) List(ctx context.Context, path string, recursive, dirAttrs bool) (iter.Seq2[contract.ColdEntry, error], error) {
	n, err := fs.find(ctx, path)
	if err == nil && n.isDir() {
		if recursive {
			err = fs.loadTree(ctx, n, fs.since())
		} else {
			err = fs.load(ctx, n, fs.since())
		}
	}
	if err == nil && dirAttrs {
		err = fs.fetchDirAttrs(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	return fs.entries(ctx, n, recursive), nil
}

// fetchDirAttrs asks for the modes of the directories below a directory, as far as they have objects whose
// modes are not known. A file's come with its content.
func (fs *FS) fetchDirAttrs(ctx context.Context, top *node) error {
	var dirs []*node
	var collect func(n *node)
	collect = func(n *node) {
		if !n.isDir() {
			return
		}
		if n.remote.ETag != "" && !n.modeKnown {
			dirs = append(dirs, n)
		}
		for _, c := range n.dir.children {
			collect(c)
		}
	}
	fs.mu.Lock()
	collect(top)
	fs.mu.Unlock()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for _, n := range dirs {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return fs.fetchAttrs(gctx, n) })
	}
	return g.Wait()
}

// entries gives the entries in batches, so that a tree of any size takes little memory and never holds mu for
// long. Its error is the end of ctx.
func (fs *FS) entries(ctx context.Context, n *node, recursive bool) iter.Seq2[contract.ColdEntry, error] {
	return func(yield func(contract.ColdEntry, error) bool) {
		c := &treeCursor{fs: fs, recursive: recursive}
		described := make([]contract.ColdEntry, 0, batch)
		for described = c.begin(n, described); len(described) > 0; described = c.next(described[:0]) {
			for _, e := range described {
				if !yield(e, nil) {
					return
				}
			}
			if ctx.Err() != nil {
				yield(contract.ColdEntry{}, context.Cause(ctx))
				return
			}
		}
	}
}

// treeCursor is a place in the tree, between two entries.
type treeCursor struct {
	fs        *FS
	recursive bool
	stack     []*level
}

// level is a directory on the way to the place, and how many of its entries are before it.
type level struct {
	Dir
	done int
}

// begin gives the first entries.
func (c *treeCursor) begin(n *node, to []contract.ColdEntry) []contract.ColdEntry {
	c.fs.mu.Lock()
	if !n.isDir() {
		defer c.fs.mu.Unlock()
		return append(to, c.fs.describe(n))
	}
	c.enterLocked(n)
	c.fs.mu.Unlock()
	return c.next(to)
}

func (c *treeCursor) enterLocked(n *node) {
	at := &level{Dir: Dir{fs: c.fs, node: n}}
	c.stack = append(c.stack, at)
	at.readLocked()
}

// next fills to with the next entries; none when all were given.
func (c *treeCursor) next(to []contract.ColdEntry) []contract.ColdEntry {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	for len(c.stack) > 0 && len(to) < cap(to) {
		at := c.stack[len(c.stack)-1]
		if at.done == len(at.entries) {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		n := at.currentLocked(at.done)
		if at.done++; n == nil {
			continue
		}
		to = append(to, c.fs.describe(n))
		if c.recursive && n.isDir() {
			c.enterLocked(n)
		}
	}
	return to
}
