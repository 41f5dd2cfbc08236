package cold

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// names is what is done to names: making, renaming and removing them.
type names struct {
	*core
	tree     *tree
	changes  *changes
	contents *contents
	listings *listings
	files    *files
}

// checkName says whether S3 can hold a name in a directory.
func (ns *names) checkName(parent *node, name string, isDir bool) error {
	if len(name) > MaxName {
		return syscall.ENAMETOOLONG
	}
	if name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 || strings.IndexByte(name, '/') >= 0 {
		return syscall.EINVAL
	}
	ns.mu.Lock()
	path := join(parent.path(), name)
	ns.mu.Unlock()
	return ns.checkPath(path, isDir)
}

func (ns *names) checkPath(path string, isDir bool) error {
	key, err := keyOf(path)
	if err != nil {
		return syscall.EINVAL
	}
	if isDir {
		key += "/"
	}
	if len(ns.prefix)+len(key) > posixattr.MaxKey {
		return syscall.ENAMETOOLONG
	}
	return nil
}

// free finds out that a name is not taken.
func (ns *names) free(ctx context.Context, parent *node, name string, isDir bool) error {
	if err := ns.checkName(parent, name, isDir); err != nil {
		return err
	}
	switch _, err := ns.listings.resolve(ctx, parent, name); {
	case err == nil:
		return syscall.EEXIST
	case errors.Is(err, syscall.ENOENT):
		return nil
	default:
		return err
	}
}

// add puts a new node into a directory and its dirty key into the journal. With mu.
func (ns *names) add(parent *node, name string, n *node) error {
	if !ns.tree.alive(parent) {
		return syscall.ENOENT
	}
	if parent.dir.child(name) != nil {
		return syscall.EEXIST
	}
	now := time.Now()
	n.ino = newIno()
	n.mtime, n.modeKnown, n.mtimeKnown = now.UnixNano(), true, true
	n.changed(now)
	n.checked = momentOf(now)
	t := ns.changes.begin()
	ns.tree.attach(parent, name, n)
	t.undo(func() { ns.changes.detach(n) })
	t.want(n.objectPath(), n, version{})
	if err := t.commit(); err != nil {
		return err
	}
	ns.touchDir(parent, now)
	return nil
}

// touchDir gives a directory whose entries changed its time. It is not kept: S3 has no directories.
func (ns *names) touchDir(d *node, now time.Time) {
	d.mtime, d.ctime = now.UnixNano(), now.UnixNano()
}

// create makes an empty file. It is the caller's to open.
func (ns *names) create(ctx context.Context, parent *node, name string, mode uint32) (*node, error) {
	if err := ns.free(ctx, parent, name, false); err != nil {
		return nil, err
	}
	data := newDataName()
	f, err := ns.cache.Create(data)
	if err != nil {
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.tree.newNode(pending.File)
	n.mode, n.own().data, n.own().live = uint16(mode&permMask), data, true
	n.own().gen, n.own().dataGen = 1, 1
	if err := ns.add(parent, name, n); err != nil {
		f.Discard()
		return nil, err
	}
	f.Return()
	return n, nil
}

func (ns *names) mkdir(ctx context.Context, parent *node, name string, mode uint32) (*node, error) {
	if err := ns.free(ctx, parent, name, true); err != nil {
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.tree.newNode(pending.Dir)
	n.mode = uint16(mode & permMask)
	n.dir.complete, n.dir.listed = true, time.Now()
	return n, ns.add(parent, name, n)
}

func (ns *names) symlink(ctx context.Context, parent *node, name, target string) (*node, error) {
	if len(target) > maxTarget {
		return nil, syscall.ENAMETOOLONG
	}
	if target == "" {
		return nil, syscall.ENOENT // symlink(2)
	}
	if err := ns.free(ctx, parent, name, false); err != nil {
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.tree.newNode(pending.Symlink)
	n.mode, n.own().target, n.size = 0o777, target, int64(len(target))
	return n, ns.add(parent, name, n)
}
