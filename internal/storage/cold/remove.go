package cold

import (
	"context"
	"syscall"
	"time"
)

func (ns *names) unlink(ctx context.Context, parent *node, name string) error {
	if _, err := ns.listings.resolve(ctx, parent, name); err != nil {
		return err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := parent.dir.child(name)
	switch {
	case n == nil:
		return syscall.ENOENT
	case n.isDir():
		return syscall.EISDIR
	}
	t := ns.changes.begin()
	path := n.objectPath()
	ns.leaves(t, n, path)
	if err := t.commit(); err != nil {
		return err
	}
	ns.touchDir(parent, time.Now())
	ns.contents.orphaned(n, path)
	return nil
}

func (ns *names) rmdir(ctx context.Context, parent *node, name string) error {
	n, err := ns.listings.resolve(ctx, parent, name)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return syscall.ENOTDIR
	}
	if err := ns.listings.load(ctx, n, ns.tree.since()); err != nil {
		ns.mu.Lock()
		ok := ns.listings.serveStale(n, err)
		ns.mu.Unlock()
		if !ok {
			return err
		}
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if parent.dir.child(name) != n {
		return syscall.ENOENT
	}
	// Keys that cannot be shown keep their directory: it would be there again at once.
	if n.dir.children.len() > 0 || n.dir.hidden > 0 {
		return syscall.ENOTEMPTY
	}
	t := ns.changes.begin()
	ns.leaves(t, n, n.objectPath())
	if err := t.commit(); err != nil {
		return err
	}
	ns.touchDir(parent, time.Now())
	ns.changes.setOrigin(n, "")
	return nil
}

// leaves takes a node out of the tree and its object out of S3, as part of t.
func (ns *names) leaves(t *tx, n *node, path string) {
	parent, name := n.parent, n.name
	if ns.changes.dirtyKeys[path] != nil || n.hasRemote() {
		t.want(path, nil, n.remote())
	}
	ns.changes.detach(n)
	t.undo(func() { ns.tree.attach(parent, name, n) })
	ns.keepDir(t, parent)
}

// keepDir gives a directory that has lost its last entry an object of its own: without one, it
// would be gone with the entry.
func (ns *names) keepDir(t *tx, d *node) {
	if d == ns.tree.root || d.hasRemote() || d.dir.children.len() > 0 {
		return
	}
	if path := d.objectPath(); ns.changes.dirtyKeys[path] == nil || ns.changes.dirtyKeys[path].deletion() {
		t.want(path, d, version{})
	}
}
