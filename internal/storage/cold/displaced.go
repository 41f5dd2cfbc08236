package cold

import (
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// A node is displaced when another client replaced or deleted its object and a listing told so. The
// name leads to what S3 has then, and a program that has the file open goes on reading what it opened.
// What such a program writes must not vanish with its last descriptor: with its first write the file
// gets a name again, that of a conflict copy. A file that its user removed here has no such claim.

// conflictMark is in the name of each conflict copy.
const conflictMark = ".conflict-"

// displace takes a node out of the tree for what S3 says. With mu.
func (ls *listings) displace(n *node) {
	ls.markDisplaced(n, n.parent, n.path())
	ls.changes.detach(n)
}

func (ls *listings) markDisplaced(n, parent *node, path string) {
	switch {
	case n.isDir():
		for c := range n.dir.children.all() {
			ls.markDisplaced(c, n, join(path, c.name))
		}
	case n.kind == pending.File && (n.opens > 0 || n.lookups > 0):
		n.own().displaced, n.own().displacedDir = path, parent
	}
}

// readmit gives a displaced file the name of a conflict copy, as part of t. All of its content is here.
func (cs *contents) readmit(t *tx, n *node) {
	path, parent, remote := n.displaced, n.displacedDir, n.remote()
	name := path[strings.LastIndexByte(path, '/')+1:]
	if !cs.tree.alive(parent) {
		parent, name = cs.tree.nearestDir(path)
	}
	cs.tree.attach(parent, cs.conflictName(parent, name), n)
	n.own().displaced, n.own().displacedDir = "", nil
	n.setRemote(version{})
	t.undo(func() {
		cs.changes.detach(n)
		n.own().displaced, n.own().displacedDir = path, parent
		n.setRemote(remote)
	})
}

// readmitted says so, once that is in the journal.
func (cs *contents) readmitted(n *node, path string) {
	cs.log.Warn("another client replaced or deleted the object of a file that is open and was written to here; the content written here is kept under another name",
		"event", "cold_conflict", "path", path, "kept_as", n.path())
	cs.tree.notifyEntry(n.parent, n.name)
}

// conflictName is a name for a conflict copy that is free.
func (cs *contents) conflictName(parent *node, name string) string {
	at := time.Now()
	for {
		ours := cs.keptAs(name, at)
		if parent.dir.child(ours) == nil && cs.changes.dirtyKeys[join(parent.path(), ours)] == nil {
			return ours
		}
		at = at.Add(time.Millisecond)
	}
}

// nearestDir finds or makes the directory that a path is in. Where a file is in the way of it, it is the
// directory of that file.
func (tr *tree) nearestDir(path string) (*node, string) {
	n := tr.root
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return n, name
		}
		c := n.dir.child(name)
		if c == nil {
			c = tr.newNode(pending.Dir)
			c.mode, c.modeKnown, c.mtimeKnown = 0o755, true, true
			c.mtime, c.ctime = tr.root.mtime, tr.root.ctime
			tr.attach(n, name, c)
			tr.notifyEntry(n, name)
		}
		if !c.isDir() {
			return n, path[strings.LastIndexByte(path, '/')+1:]
		}
		n, path = c, rest
	}
}
