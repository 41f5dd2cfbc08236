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
	n, err := fs.names.find(ctx, path)
	if err == nil && n.isDir() {
		if recursive {
			err = fs.listings.loadTree(ctx, n, fs.tree.since())
		} else {
			err = fs.listings.load(ctx, n, fs.tree.since())
		}
	}
	if err == nil && dirAttrs {
		err = fs.listings.fetchDirAttrs(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	return fs.entries(ctx, n, recursive), nil
}

// fetchDirAttrs asks for the modes of the directories below a directory, as far as they have objects whose
// modes are not known. A file's come with its content.
func (ls *listings) fetchDirAttrs(ctx context.Context, top *node) error {
	var dirs []*node
	var collect func(n *node)
	collect = func(n *node) {
		if !n.isDir() {
			return
		}
		if n.hasRemote() && !n.modeKnown {
			dirs = append(dirs, n)
		}
		for c := range n.dir.children.all() {
			collect(c)
		}
	}
	ls.mu.Lock()
	collect(top)
	ls.mu.Unlock()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for _, n := range dirs {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return ls.contents.fetchAttrs(gctx, n) })
	}
	return g.Wait()
}

// entries gives the entries in batches, so that a tree of any size takes little memory and never holds mu for
// long. Its error is the end of ctx.
func (fs *FS) entries(ctx context.Context, n *node, recursive bool) iter.Seq2[contract.ColdEntry, error] {
	return func(yield func(contract.ColdEntry, error) bool) {
		c := &treeCursor{in: fs.changes, recursive: recursive}
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
	in        *changes
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
	c.in.mu.Lock()
	if !n.isDir() {
		defer c.in.mu.Unlock()
		return append(to, c.in.describe(n))
	}
	c.enterLocked(n)
	c.in.mu.Unlock()
	return c.next(to)
}

func (c *treeCursor) enterLocked(n *node) {
	at := &level{Dir: Dir{in: c.in, node: n}}
	c.stack = append(c.stack, at)
	at.readLocked()
}

// next fills to with the next entries; none when all were given.
func (c *treeCursor) next(to []contract.ColdEntry) []contract.ColdEntry {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
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
		to = append(to, c.in.describe(n))
		if c.recursive && n.isDir() {
			c.enterLocked(n)
		}
	}
	return to
}
