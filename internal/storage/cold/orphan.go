package cold

import (
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// An orphan is a file that was removed or replaced here. Programs that have it open go on with it, as do
// those that the kernel has led to it and that are about to open it: a reader of a file that is replaced
// by rename(2) finds the old version or the new one, whole. So what is here of an orphan stays until the
// kernel forgets the node, which it does at once when no program is on its way to it. What is not here is
// fetched, before its object goes, for the programs that have it open alone; the others get ESTALE from
// open, and the kernel looks the name up again.

// orphaned sees to the content of a file that has lost its name, and whose path was path. With mu.
func (cs *contents) orphaned(n *node, path string) {
	if n.kind != pending.File {
		cs.changes.setOrigin(n, "")
		return
	}
	source := path
	if n.origin != "" {
		source = n.origin
	}
	if key, err := keyOf(source); err == nil {
		n.own().lastKey = cs.prefix + key
	}
	if n.opens == 0 {
		cs.changes.setOrigin(n, "")
		cs.dropOrphan(n)
		return
	}
	if n.hasRemote() && !(n.dirty() && n.content.file.Whole()) {
		if n.origin == "" {
			cs.changes.setOrigin(n, path)
		}
		cs.localize(n)
	}
}

// orphanWhole says that all of an orphan is here, so that it can be opened. With mu.
func (cs *contents) orphanWhole(n *node) bool {
	switch {
	case n.content != nil:
		return n.content.file.Whole()
	case n.dirty():
		return cs.wholeHere(n)
	default:
		return cs.cache.Whole(cache.VersionID(n.lastKey, n.remote().ETag, n.remote().Size))
	}
}

// dropOrphan removes the dirty content of an orphan that is not in use and that the kernel has forgotten.
// With mu.
func (cs *contents) dropOrphan(n *node) {
	if n.parent != nil || n.lookups > 0 || n.content != nil || !n.dirty() {
		return
	}
	if err := cs.cache.RemoveDirty(n.data); err != nil {
		cs.log.Warn("cached content of a file that was removed cannot be removed", "event", "cold_cache_remove", "error", err)
	}
	n.own().data = ""
}
