package hydrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// readRules brings .sandboxignore up to date, as the table says for any file, and then
// reads it: what it leaves out is not even looked at.
func (h *run) readRules(ctx context.Context) (err error) {
	if h.mounts, err = h.Root.Mounts(); err != nil {
		return err
	}
	if len(h.mounts) > 0 {
		h.Log.Info("mounts in the home are left out", "event", "mounts", "paths", h.mounts)
	}
	if slices.Contains(h.mounts, ignore.FileName) {
		return h.rulesHere() // its rules count all the same
	}
	o, err := h.Store.Head(ctx, h.prefix+ignore.FileName)
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		// Gone from S3 and unchanged here: removed later with the rest, and no rules.
		if i, err := h.Root.Lstat(ignore.FileName); err == nil {
			unchanged, err := h.gatedUnchanged(ignore.FileName, i)
			if err != nil {
				return err
			}
			if unchanged {
				return h.setRules(nil)
			}
		}
	case err != nil:
		return err
	default:
		it := item{key: ignore.FileName, size: o.Size, modified: o.LastModified.Unix()}
		it.setETag(o.ETag)
		if err := h.fetchFirst(ctx, it); err != nil {
			return err
		}
	}
	return h.rulesHere()
}

// rulesHere takes the rules of the file that is here.
func (h *run) rulesHere() error {
	content, err := h.readFirst()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", ignore.FileName, err)
	}
	return h.setRules(content)
}

// fetchFirst is the whole of a hydrate for one object.
func (h *run) fetchFirst(ctx context.Context, it item) error {
	first := newRun(h.Deps)
	first.rulesAlone = true
	first.items = []item{it}
	if err := first.claimOwn(ctx); err != nil {
		return err
	}
	if err := first.judge(ctx); err != nil {
		return err
	}
	if err := (comparer{first}).compare(ctx); err != nil {
		return err
	}
	if err := first.fetchAll(ctx, first.toFetch()); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.res.Files += first.res.Files
	h.res.Bytes += first.res.Bytes
	h.home.conflicts = append(h.home.conflicts, first.home.conflicts...)
	return nil
}

// readFirst reads the file of rules, of which at most a byte more than counts. One that
// is not there, or is no file, has no rules.
func (h *disk) readFirst() ([]byte, error) {
	f, err := h.Root.Open(ignore.FileName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotRegular) || tree.IsNotDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, ignore.MaxFile+1))
}

func (h *run) setRules(content []byte) (err error) {
	if h.rules, err = ignore.New(h.Config.Hot.Exclude, content); err != nil {
		return err
	}
	h.rules = h.rules.WithMounts(h.mounts)
	for _, p := range h.rules.Problems() {
		h.Log.Warn("a rule is not used", "event", "ignore_rule", "problem", p)
	}
	return nil
}
