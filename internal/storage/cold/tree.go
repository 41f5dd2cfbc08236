package cold

import (
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// tree is the names: the nodes that are known, what the kernel refers to, and what it is told of changes. All of it
// is guarded by core.mu.
type tree struct {
	*core
	root  *node
	ids   []*node  // those that the kernel knows, by ID
	free  []uint32 // IDs that it does not know any more
	front Front    // nil: not mounted
	moves uint64   // directories renamed or removed
}

func newTree(c *core) *tree {
	tr := &tree{core: c, ids: []*node{nil}}
	tr.root = tr.newNode(pending.Dir)
	tr.identify(tr.root) // it is 1, FUSE_ROOT_ID
	tr.root.mode, tr.root.modeKnown, tr.root.mtimeKnown = 0o755, true, true
	tr.root.mtime, tr.root.ctime = c.started.UnixNano(), c.started.UnixNano()
	return tr
}

// newNode makes a node that is in no directory yet. With mu.
func (tr *tree) newNode(k pending.Kind) *node {
	n := &node{kind: k, extra: &nothing}
	if k == pending.Dir {
		n.own().dir = new(dir)
	}
	return n
}

// inoOf is a node's inode number. One that another sandbox gave the file comes from the index of attributes;
// else that of a path is the same in every sandbox. With mu.
func (tr *tree) inoOf(n *node) uint64 {
	switch {
	case n == tr.root:
		return uint64(n.id)
	case n.ino == 0 && n.parent != nil:
		h := fnv.New64a()
		_, _ = io.WriteString(h, n.path()) // a hash does not fail
		n.ino = h.Sum64()>>1 | 2
	case n.ino == 0:
		n.ino = newIno()
	}
	return n.ino
}

// newIno is the number of a file that is made here: what had its path before may still be open.
func newIno() uint64 { return rand.Uint64()>>1 | 2 }

// attach puts a node into a directory.
func (tr *tree) attach(parent *node, name string, n *node) {
	n.parent, n.name = parent, name
	parent.dir.children.put(n)
}

// breath is after how many steps of a loop over what may be a million mu is given up for a moment, so that no
// request waits long for it.
const breath = 1024

// breathing goes through a map's values or a directory with mu, and gives that up for a moment now and then. Those may
// change meanwhile: the moment is between two steps, so that each step's value is there when the step begins.
func breathing[V any](c *core, all iter.Seq[V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		i := 0
		for v := range all {
			if !yield(v) {
				return
			}
			if i++; i%breath == 0 {
				c.mu.Unlock()
				c.mu.Lock()
			}
		}
	}
}

// expire has a directory listed again before it is believed, or the files in it are. With mu.
func (tr *tree) expire(n *node) {
	if n != nil && n.dir != nil {
		n.dir.complete = false
		n.dir.listed, n.dir.retry, n.dir.expired = time.Time{}, time.Time{}, time.Now()
	}
}

// seenAt is when what is known of a node was so in S3. With mu.
func (n *node) seenAt() time.Time {
	if p := n.parent; p != nil && !n.isDir() && !n.checked.time().After(p.dir.expired) {
		return time.Time{}
	}
	return n.checked.time()
}

// alive says that a directory is still in the tree.
func (tr *tree) alive(n *node) bool { return n == tr.root || n.parent != nil }

// since is the moment before which what is known of S3 is too old.
func (tr *tree) since() time.Time { return time.Now().Add(-tr.ttl) }

// fresh says that a directory's children are all there is.
func (tr *tree) fresh(n *node, since time.Time) bool {
	d := n.dir
	return d.complete && (!d.listed.Before(since) || time.Now().Before(d.retry))
}

func (n *node) objectPathOrEmpty() string {
	if n.parent == nil {
		return ""
	}
	return n.objectPath()
}
