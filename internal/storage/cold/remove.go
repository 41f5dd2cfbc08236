package cold

import (
	"context"
	"syscall"
	"time"
)

func (fs *FS) unlink(ctx context.Context, parent *node, name string) error {
	if _, err := fs.resolve(ctx, parent, name); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := parent.dir.child(name)
	switch {
	case n == nil:
		return syscall.ENOENT
	case n.isDir():
		return syscall.EISDIR
	}
	t := fs.begin()
	path := n.objectPath()
	fs.leaves(t, n, path)
	if err := t.commit(); err != nil {
		return err
	}
	fs.touchDir(parent, time.Now())
	fs.orphaned(n, path)
	return nil
}

func (fs *FS) rmdir(ctx context.Context, parent *node, name string) error {
	n, err := fs.resolve(ctx, parent, name)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return syscall.ENOTDIR
	}
	if err := fs.load(ctx, n, fs.since()); err != nil {
		fs.mu.Lock()
		ok := fs.serveStale(n, err)
		fs.mu.Unlock()
		if !ok {
			return err
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if parent.dir.child(name) != n {
		return syscall.ENOENT
	}
	// Keys that cannot be shown keep their directory: it would be there again at once.
	if len(n.dir.children) > 0 || n.dir.hidden > 0 {
		return syscall.ENOTEMPTY
	}
	t := fs.begin()
	fs.leaves(t, n, n.objectPath())
	if err := t.commit(); err != nil {
		return err
	}
	fs.touchDir(parent, time.Now())
	fs.setOrigin(n, "")
	return nil
}

// leaves takes a node out of the tree and its object out of S3, as part of t.
func (fs *FS) leaves(t *tx, n *node, path string) {
	parent, name := n.parent, n.name
	if fs.dirtyKeys[path] != nil || n.remote.ETag != "" {
		t.want(path, nil, n.remote)
	}
	fs.detach(n)
	t.undo(func() { fs.attach(parent, name, n) })
	fs.keepDir(t, parent)
}

// keepDir gives a directory that has lost its last entry an object of its own: without one, it
// would be gone with the entry.
func (fs *FS) keepDir(t *tx, d *node) {
	if d == fs.root || d.remote.ETag != "" || len(d.dir.children) > 0 {
		return
	}
	if path := d.objectPath(); fs.dirtyKeys[path] == nil || fs.dirtyKeys[path].deletion() {
		t.want(path, d, version{})
	}
}
