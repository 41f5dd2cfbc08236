package hydrate

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/storage/unnamed"
)

// A SQLite database is one object, and several files here: it is unchanged when all of them are, its
// content is what SQLite would read, and what replaces it takes the place of all of them. SQLite
// applies a log to any database that lies beside it, so a log never outlives its database.

// state is what the journal would keep of what lstat has said info of.
func (h *disk) state(path string, info tree.Info) journal.Stat {
	state := info.Stat
	_ = h.inDirectory(path, func(d *tree.Dir, name string) error {
		state = sqlite.StateOf(d, name, info)
		return nil
	}) // where there is no directory there is no database
	return state
}

// hashDatabase hashes a database as one file. One that cannot be read has no sums, and is equal to
// nothing.
func (h *disk) hashDatabase(path string) (s sums, err error) {
	parent, name := tree.Split(path)
	d, err := h.Root.OpenDir(parent)
	if err != nil {
		return s, err
	}
	defer d.Close()
	db, err := d.Open(name)
	if err != nil {
		return s, err
	}
	defer db.Close()
	snap, err := sqlite.Open(context.Background(), d, name, db, nil) // sums and unchanged have a place at the gate
	if errors.Is(err, sqlite.ErrBusy) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer snap.Close()
	f, err := unnamed.File(h.Dir)
	if err != nil {
		return s, err
	}
	defer f.Close()
	s.size, err = snap.CopyTo(context.Background(), f, false)
	if errors.Is(err, sqlite.ErrChanged) {
		return sums{}, nil
	}
	if err != nil {
		return s, err
	}
	a, b := sha256.New(), md5.New()
	if _, err := io.Copy(io.MultiWriter(a, b), io.NewSectionReader(f, 0, s.size)); err != nil {
		return s, err
	}
	a.Sum(s.sha256[:0])
	s.md5 = hex.EncodeToString(b.Sum(nil))
	return s, nil
}

// dropMembers takes out the objects of logs and journals whose database is whole without them: the
// sandbox that stored it was killed before it deleted them. The sync does, by their entries.
func (h *run) dropMembers(ctx context.Context) error {
	found := make([]bool, len(h.items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for i := range h.items {
		it := &h.items[i]
		key, ok := sqlitefile.Base(it.key)
		if !ok {
			continue
		}
		if base, ok := h.find(key); ok {
			g.Go(func() (err error) {
				found[i], err = h.isReplaced(ctx, it, base)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := h.noteWhole(); err != nil {
		return err
	}
	n := -1
	h.items = slices.DeleteFunc(h.items, func(item) bool { n++; return found[n] })
	return nil
}

// isReplaced tells whether a member's database is whole without it, or cannot be here. A log that is newer is one more
// time a part of the database: a sandbox of an earlier version, or a tool, has worked with it.
func (h *run) isReplaced(ctx context.Context, it, base *item) (bool, error) {
	o, err := h.lookUp(ctx, base.key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return false, nil
	}
	if reason, ok := h.unreadable(err); ok {
		h.keep(it.key, "its database cannot be looked up: "+reason)
		return true, nil
	}
	if err != nil || o.Metadata[posixattr.WholeKey] == "" {
		return false, err
	}
	replaced := it.modified <= base.modified
	if replaced {
		if o, err = h.lookUp(ctx, it.key); err != nil {
			return false, nil //nolint:nilerr // fetching it will say why
		}
		if attr, _ := posixattr.Decode(o.Metadata, o.LastModified, false); attr.Type() != posixattr.TypeFile {
			return false, nil // a link of that name belongs to no database
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if whole, ok := h.whole[base.path()]; !ok || whole {
		h.whole[base.path()] = replaced
	}
	if replaced {
		h.replaced = append(h.replaced, journal.Entry{Path: it.path(), Key: it.key, ETag: it.etag(), Size: it.size, Mode: posixattr.TypeFile | 0o644, Modified: it.modified})
		h.Log.Info("a database's log is in its database by now", "event", "member_replaced", "key", h.prefix+it.key)
	}
	return replaced, nil
}

// noteWhole brings the journal to what was found out about databases that need not be fetched.
func (h *run) noteWhole() error {
	for path, whole := range h.whole {
		_, sent := h.Journal.Intent(path)
		if e, ok := h.Journal.Get(path); ok && e.Whole != whole && !sent && !h.Journal.HasTombstone(path) {
			e.Whole = whole
			if err := h.Journal.Put(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// recordReplaced journals what the sync is to delete. Not before removeGone, for which it is not in S3.
func (h *run) recordReplaced() error {
	for _, e := range h.replaced {
		if err := h.Journal.Put(e); err != nil {
			return err
		}
	}
	return nil
}

// isMember tells whether a path belongs to a database that is here.
func (h *disk) isMember(path string) (is bool) {
	if _, ok := sqlitefile.Base(path); !ok {
		return false
	}
	_ = h.inDirectory(path, func(d *tree.Dir, name string) error {
		_, is = sqlite.IsMember(d, name)
		return nil
	}) // where there is no directory there is no database
	return is
}

// clearMembers makes sure that nothing will be applied to what is about to get the name of t. With
// the database that seen describes goes what belongs to it; what lies there without a database is
// moved aside. What S3 has beside it, from before databases were whole, stays.
func (h *run) clearMembers(it *item, path string, d *tree.Dir, name string, seen bool) error {
	isDatabase := seen && sqlite.Is(d, name)
	for _, member := range sqlite.Members(d, name) {
		suffix := member[len(name):]
		if _, ok := h.find(it.key + suffix); ok {
			continue
		}
		switch {
		case isDatabase:
			if err := removeSeen(d, member); err != nil {
				return err
			}
		case sqlite.IsLog(d, member):
			if err := h.home.moveOneAside(path + suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeSeen removes the file that is at a name now.
func removeSeen(d *tree.Dir, name string) error {
	i, err := d.Lstat(name)
	if err == nil {
		err = d.RemoveSeen(name, i)
	}
	if isAbsent(err) || errors.Is(err, tree.ErrChanged) {
		return nil
	}
	return err
}

// moveDatabase renames a file, and when it is a database what belongs to it.
func (h *disk) moveDatabase(path, copied string, rename func() error) error {
	if !h.isDatabase(path) {
		return rename()
	}
	_, to := tree.Split(copied)
	return h.inDirectory(path, func(d *tree.Dir, name string) error { return conflict.Move(d, name, to, rename) })
}

// removeMembers removes what belonged to a database that is gone.
func (h *disk) removeMembers(path string) error {
	return h.inDirectory(path, func(d *tree.Dir, name string) error {
		for _, member := range sqlite.Members(d, name) {
			if err := removeSeen(d, member); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h *disk) isDatabase(path string) (is bool) {
	_ = h.inDirectory(path, func(d *tree.Dir, name string) error {
		is = sqlite.Is(d, name)
		return nil
	}) // where there is no directory there is no database
	return is
}

// inDirectory opens the directory of a path. Where there is none, there is nothing to do.
func (h *disk) inDirectory(path string, do func(d *tree.Dir, name string) error) error {
	parent, name := tree.Split(path)
	d, err := h.Root.OpenDir(parent)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d, name)
}
