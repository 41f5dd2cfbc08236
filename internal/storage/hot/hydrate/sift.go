package hydrate

import (
	"cmp"
	"slices"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// sift leaves the objects that can be here: it takes out what is excluded, and what
// cannot be a path or would have a directory's name, which it reports. What remains
// implies the directories.
func (h *run) sift() error {
	h.items = slices.DeleteFunc(h.items, func(it item) bool {
		path, isDir, err := posixattr.Path(it.key)
		if err != nil {
			h.keep(it.key, "its key is no path below a directory")
			return true
		}
		if h.rules.Match(path, isDir) {
			return true
		}
		if isDir && it.size > 0 {
			h.keep(it.key, `it ends in "/" and has content, which a directory has not`)
			return true
		}
		return false
	})
	if err := h.siftTwins(); err != nil {
		return err
	}
	for _, path := range h.mounts {
		if dir, _ := tree.Split(path); dir != "" {
			h.home.want(dir) // a file cannot take the place of what a mount lies in
		}
	}
	for i := range h.items {
		it := &h.items[i]
		if path := it.path(); it.isMarker() {
			h.home.want(path)
		} else if dir, _ := tree.Split(path); dir != "" {
			h.home.want(dir)
		}
	}
	// Only now: "a" comes before "a/b" in the listing, and others come between.
	h.items = slices.DeleteFunc(h.items, func(it item) bool {
		clash := !it.isMarker() && h.home.wanted(it.path())
		if clash {
			h.keep(it.key, "a directory has the same name: other keys begin with it and a slash")
		}
		return clash
	})
	h.items = slices.Clip(h.items)
	for i := range h.items {
		h.res.Objects++
		h.res.ObjectBytes += h.items[i].size
		if h.items[i].entry == 0 {
			h.res.Stale++
		}
	}
	if h.manifest != nil {
		h.res.Stale = max(h.res.Stale, h.manifest.Count-len(h.items))
	}
	return nil
}

// keep reports an object that stays in S3 and cannot be here. Where its file is not here either, the journal
// forgets it: a file that the journal has and the disk has not would be taken for deleted.
func (h *run) keep(key, reason string) {
	h.mu.Lock()
	h.kept[key] = true
	h.res.Kept = append(h.res.Kept, contract.Unsaved{Path: key, Reason: reason})
	h.mu.Unlock()
	h.Log.Warn("an object cannot be in the home and stays in S3", "event", "kept_in_s3", "key", h.prefix+key, "reason", reason)
	path, _, err := posixattr.Path(key)
	if err != nil {
		return
	}
	if e, ok := h.Journal.Get(path); !ok || e.Key != key {
		return
	}
	if _, err := h.Root.Lstat(path); isAbsent(err) {
		h.forget(path)
	}
}

// forget lets the journal forget a path. One that cannot be written does so in memory, and is written later.
func (h *disk) forget(path string) {
	if err := h.Journal.Forget(path); err != nil {
		h.Log.Warn("the journal is behind", "event", "journal_failed", "error", err)
	}
}

// find looks an object up by its key.
func (h *listing) find(key string) (*item, bool) {
	i, ok := slices.BinarySearchFunc(h.items, key, func(it item, key string) int { return cmp.Compare(it.key, key) })
	if !ok {
		return nil, false
	}
	return &h.items[i], true
}
