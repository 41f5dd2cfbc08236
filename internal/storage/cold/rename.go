package cold

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// renameMost is how many files a directory may have that is renamed: each is an object, which has
// to be copied and deleted. mv then copies file by file.
const renameMost = 100_000

// rename gives a node another name, replacing what has it. S3 cannot rename: each file below
// gets a dirty key at its new path, whose job copies the object, and one at its old path, whose
// job deletes it afterwards.
func (ns *names) rename(ctx context.Context, from *node, name string, to *node, newName string, noReplace bool) error {
	n, err := ns.listings.resolve(ctx, from, name)
	if err != nil {
		return err
	}
	target, err := ns.listings.resolve(ctx, to, newName)
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	if target != nil && noReplace {
		return syscall.EEXIST
	}
	if target == n {
		return nil
	}
	if err := ns.checkName(to, newName, n.isDir()); err != nil {
		return err
	}
	if target != nil {
		switch {
		case target.isDir() && !n.isDir():
			return syscall.EISDIR
		case !target.isDir() && n.isDir():
			return syscall.ENOTDIR
		case target.isDir():
			if err := ns.listings.load(ctx, target, ns.tree.since()); err != nil {
				return err
			}
		}
	}
	if n.isDir() {
		if err := ns.listings.loadTree(ctx, n, ns.tree.since()); err != nil {
			return err
		}
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if from.dir.child(name) != n || to.dir.child(newName) != target || !ns.tree.alive(to) {
		return syscall.ESTALE // the kernel looks again, and tries once more
	}
	if target != nil && target.isDir() && target.dir.children.len()+target.dir.hidden > 0 {
		return syscall.ENOTEMPTY
	}
	if n.isDir() && to.within(n) {
		return syscall.EINVAL
	}
	if n.isDir() && ns.tree.hiddenIn(n) {
		return syscall.EXDEV // what cannot be shown cannot be moved with it
	}
	return ns.move(n, to, newName, target)
}

func (tr *tree) hiddenIn(n *node) bool {
	if n.dir.hidden > 0 {
		return true
	}
	for c := range n.dir.children.all() {
		if c.isDir() && tr.hiddenIn(c) {
			return true
		}
	}
	return false
}

// moving is a node on its way.
type moving struct {
	node     *node
	from, to string // paths of objects
	source   string
}

// move does it, with mu.
func (ns *names) move(n *node, to *node, newName string, target *node) error {
	oldTop, newTop := n.path(), join(to.path(), newName)
	all := make([]moving, 0, 1)
	if err := ns.collect(n, oldTop, newTop, &all); err != nil {
		return err
	}
	t := ns.changes.begin()
	base, targetPath := version{}, ""
	if target != nil {
		base, targetPath = target.remote(), target.objectPath()
		if target.origin != "" {
			base = version{} // its dirty key knows better
		}
		parent, name := target.parent, target.name
		ns.changes.detach(target)
		t.undo(func() { ns.tree.attach(parent, name, target) })
	}
	from, name := n.parent, n.name
	ns.changes.reattach(n, to, newName)
	t.undo(func() { ns.changes.reattach(n, from, name) })
	for _, m := range all {
		there := version{}
		if m.node == n {
			there = base
		}
		ns.moveKey(t, m, there)
	}
	if from != to {
		ns.keepDir(t, from)
	}
	now := time.Now()
	was := n.ctime
	n.ctime = now.UnixNano()
	t.undo(func() { n.ctime = was })
	if err := t.commit(); err != nil {
		return err
	}
	ns.touchDir(from, now)
	ns.touchDir(to, now)
	if target != nil {
		ns.contents.orphaned(target, targetPath)
	}
	return nil
}

// collect lists what moves: every file, and the directories that have objects of their own.
func (ns *names) collect(n *node, oldTop, newTop string, all *[]moving) error {
	from := n.objectPath()
	m := moving{node: n, from: from, to: newTop + from[len(oldTop):], source: n.source()}
	if err := ns.checkPath(strings.TrimSuffix(m.to, "/"), n.isDir()); err != nil {
		return err
	}
	if !n.isDir() || n.hasRemote() || ns.changes.dirtyKeys[from] != nil || n.path() == oldTop {
		*all = append(*all, m)
	}
	if len(*all) > renameMost {
		return syscall.EXDEV
	}
	if n.isDir() {
		for c := range n.dir.children.all() {
			if err := ns.collect(c, oldTop, newTop, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveKey has a node's object follow it; there is what S3 has at the new path.
func (ns *names) moveKey(t *tx, m moving, there version) {
	n := m.node
	remote, origin, gen := n.remote(), n.origin, n.gen
	t.undo(func() { n.setRemote(remote); n.own().gen = gen; ns.changes.setOrigin(n, origin) })
	n.own().gen++
	if n.kind == pending.File && remote.ETag != "" && !(n.dirty() && ns.contents.wholeHere(n)) {
		ns.changes.setOrigin(n, m.source) // to be copied from there
	} else {
		n.setRemote(version{}) // its content is here
		ns.changes.setOrigin(n, "")
	}
	old := t.in.dirtyKeys[m.from]
	s := t.want(m.to, n, there)
	s.renamed = true
	if old != nil && !old.deletion() {
		s.inherit(old.first)
	}
	// The deletion after it: they go to S3 in this order.
	if ns.changes.dirtyKeys[m.from] != nil || remote.ETag != "" {
		base := remote
		if origin != "" {
			base = version{}
		}
		t.want(m.from, nil, base)
	}
}

// wholeHere says that a dirty file needs nothing from S3 any more.
func (cs *contents) wholeHere(n *node) bool {
	if n.content != nil {
		return n.content.file.Whole()
	}
	c, err := cs.acquire(n)
	if err != nil {
		return false
	}
	defer c.release()
	return c.file.Whole()
}
