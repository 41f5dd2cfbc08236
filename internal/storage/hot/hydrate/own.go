package hydrate

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// lookups is how many objects are looked up at a time.
const lookups = 16

// claimOwn finds the writes that were sent and whose answers were lost: an object that
// carries the id of one of our attempts is ours, also when the journal knew another version. Were
// it taken for another client's, our own file would become a conflict copy.
func (h *listing) claimOwn(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for path, in := range h.Journal.AllUnresolved() {
		it, ok := h.find(in.Key)
		if !ok {
			continue
		}
		if e, ok := h.Journal.Get(path); ok && e.Key == in.Key && sameVersion(&e, it) {
			continue // the write did not arrive
		}
		g.Go(func() error { return h.claim(ctx, path, in) })
	}
	return g.Wait()
}

func (h *listing) claim(ctx context.Context, path string, in journal.Intent) error {
	o, err := h.lookUp(ctx, in.Key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}
	if _, ok := h.unreadable(err); ok {
		return nil // reading it will say why
	}
	if err != nil {
		return err
	}
	ours, newest := in.Wrote(o.Metadata[posixattr.WriteIDKey])
	if !ours {
		return nil
	}
	attr, _ := posixattr.Decode(o.Metadata, o.LastModified, in.Key[len(in.Key)-1] == '/')
	e := journal.Entry{
		Path: path, Key: in.Key, ETag: o.ETag, Size: o.Size, Mode: attr.Mode, Mtime: attr.Mtime, Modified: o.LastModified.Unix(),
		Whole: o.Metadata[posixattr.WholeKey] != "",
	}
	if newest {
		e.SHA256, e.Local = in.SHA256, in.Local
	}
	h.Log.Info("a write whose answer was lost had arrived", "event", "own_write_found", "key", in.Key)
	_, sent := h.Journal.Intent(path)
	_, known := h.Journal.Get(path)
	// A write that was given up, and whose file was deleted since, arrived after that.
	deleted := h.Journal.HasTombstone(path) || !sent && !known
	if err := h.Journal.Put(e); err != nil {
		return err
	}
	if deleted {
		return h.Journal.AddTombstone(path) // of the version that we now know
	}
	return nil
}
