package hydrate

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/threads"
)

// judge reaches a verdict on every item. It changes nothing.
func (h *run) judge(ctx context.Context) error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	here := &cursor{root: h.Root}
	defer here.close()
	replaced := -1 // a marker in whose directory's place a file is
	for i := range h.items {
		if i%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		it := &h.items[i]
		info, exists, err := here.lstat(it.path())
		if err != nil {
			return err
		}
		f := h.facts(it, here, info, exists)
		if it.isMarker() {
			it.verdict = judgeDirectory(f, info)
		} else {
			it.verdict = f.judge()
		}
		if it.verdict == nothing && it.isMarker() && exists && !info.IsDir() {
			replaced = i
		}
		if it.verdict != nothing && replaced >= 0 && strings.HasPrefix(it.key, h.items[replaced].key) {
			h.items[replaced].verdict = directory // it comes back, with what is in it
			h.res.Unchanged--
			replaced = -1
		}
		if it.verdict == nothing {
			h.res.Unchanged++
		}
		if it.verdict == fetched && exists {
			h.seen[i] = info
		}
	}
	return nil
}

// facts are what is known of an item, at whose path info was found if anything is there.
func (h *disk) facts(it *item, here *cursor, info tree.Info, exists bool) facts {
	path := it.path()
	e, journalled := h.Journal.Get(path)
	journalled = journalled && e.Key == it.key
	state := info.Stat
	if journalled && exists && here.dir != nil {
		_, name := tree.Split(path)
		state = sqlite.StateOf(here.dir, name, info)
	}
	return facts{
		journalled: journalled,
		same:       journalled && sameVersion(&e, it),
		here:       exists,
		changed:    !journalled || !e.Local.LooksLike(state),
		racy:       journalled && e.Local.Racy && e.Local.LooksLike(state),
		deleted:    h.Journal.HasTombstone(path),
		rebooted:   h.Journal.Origin() == journal.Rebooted,
	}
}

// judgeDirectory is the table for a marker: a directory has no content to lose, and its
// stat changes with its entries, so only its presence counts. A file that took its place stays, unless
// something in the directory comes back: the sync deletes the marker and uploads the file. (After the host went down that
// file may be what the crash left.)
func judgeDirectory(f facts, info tree.Info) verdict {
	switch {
	case f.same && f.here && (info.IsDir() || !f.rebooted):
		return nothing
	case f.same && !f.here && f.deleted:
		return nothing
	}
	return directory
}

// sameVersion compares what the journal knows with the listing. An ETag is of the
// content alone: a later Last-Modified than the journal's says that another client stored the
// same content again, with other attributes perhaps. (The journal's is S3's, or after a
// write of our own the response's Date, which is never the earlier one.)
func sameVersion(e *journal.Entry, it *item) bool {
	return e.ETag == it.etag() && e.Size == it.size && (e.Modified == 0 || it.modified <= e.Modified)
}

// cursor looks at paths, most of which are in the directory of the one before.
type cursor struct {
	root   *tree.Root
	dir    *tree.Dir // nil: path cannot be entered
	path   string
	opened bool
}

func (c *cursor) close() {
	if c.dir != nil {
		c.dir.Close()
	}
	c.dir, c.opened = nil, false
}

// open opens the directory of a path; nil where there is none.
func (c *cursor) open(parent string) error {
	if c.opened && c.path == parent {
		return nil
	}
	c.close()
	d, err := c.root.OpenDir(parent)
	if err != nil && !isAbsent(err) {
		return err
	}
	c.dir, c.path, c.opened = d, parent, true
	return nil
}

// lstat is Lstat of a path, and whether anything is there. What a file or a link stands in the way
// of is not there.
func (c *cursor) lstat(path string) (i tree.Info, here bool, err error) {
	parent, name := tree.Split(path)
	if err := c.open(parent); err != nil || c.dir == nil {
		return tree.Info{}, false, err
	}
	i, err = c.dir.Lstat(name)
	if isAbsent(err) {
		return tree.Info{}, false, nil
	}
	return i, err == nil, err
}

// isAbsent says that nothing of the home is, or can be, at a path.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrMounted) || tree.IsNotDir(err) || errors.Is(err, syscall.ENAMETOOLONG)
}
