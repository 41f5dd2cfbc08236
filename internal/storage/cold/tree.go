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
	root   *node
	nextID uint64
	ids    map[uint64]*node // those that the kernel knows
	front  Front            // nil: not mounted
	moves  uint64           // directories renamed or removed
}

func newTree(c *core) *tree {
	tr := &tree{core: c, ids: map[uint64]*node{}}
	tr.root = tr.newNode(pending.Dir) // its id is 1, FUSE_ROOT_ID
	tr.root.mode, tr.root.modeKnown, tr.root.mtimeKnown = 0o755, true, true
	tr.root.mtime, tr.root.ctime = c.started.UnixNano(), c.started.UnixNano()
	tr.ids[tr.root.id] = tr.root
	return tr
}

// newNode makes a node that is in no directory yet. With mu.
func (tr *tree) newNode(k pending.Kind) *node {
	tr.nextID++
	n := &node{id: tr.nextID, kind: k, extra: &nothing}
	if k == pending.Dir {
		n.dir = &dir{children: map[string]*node{}}
	}
	return n
}

// inoOf is a node's inode number. One that another sandbox gave the file comes from the index of attributes;
// else that of a path is the same in every sandbox. With mu.
func (tr *tree) inoOf(n *node) uint64 {
	switch {
	case n == tr.root:
		return n.id
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
	parent.dir.children[name] = n
}

// breath is after how many steps of a loop over what may be a million mu is given up for a moment, so that no
// request waits long for it.
const breath = 1024

// breathing goes through a map with mu, and gives that up for a moment now and then. The map may change meanwhile:
// the moment is between two steps, so that each step's entry is in the map when the step begins.
func breathing[K comparable, V any](c *core, m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		i := 0
		for k, v := range m {
			if !yield(k, v) {
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
	if p := n.parent; p != nil && !n.isDir() && !n.checked.After(p.dir.expired) {
		return time.Time{}
	}
	return n.checked
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
