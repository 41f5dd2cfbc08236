package cold

import (
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// newNode makes a node that is in no directory yet. With mu.
func (fs *FS) newNode(k pending.Kind) *node {
	fs.nextID++
	n := &node{id: fs.nextID, kind: k, extra: &nothing}
	if k == pending.Dir {
		n.dir = &dir{children: map[string]*node{}}
	}
	return n
}

// inoOf is a node's inode number. One that another sandbox gave the file comes from the index of attributes;
// else that of a path is the same in every sandbox. With mu.
func (fs *FS) inoOf(n *node) uint64 {
	switch {
	case n == fs.root:
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
func (fs *FS) attach(parent *node, name string, n *node) {
	n.parent, n.name = parent, name
	parent.dir.children[name] = n
}

// detach takes a node out of its directory, with all that is below it. Who has it open goes
// on with it.
func (fs *FS) detach(n *node) {
	if n.parent == nil {
		return
	}
	fs.leavesDatabase(n)
	delete(n.parent.dir.children, n.name)
	n.parent = nil
	fs.moves++
	if n.isDir() {
		for _, c := range n.dir.children {
			fs.detach(c)
		}
	}
}

// breath is after how many steps of a loop over what may be a million mu is given up for a moment, so that no
// request waits long for it.
const breath = 1024

// breathing goes through a map with mu, and gives that up for a moment now and then. The map may change meanwhile:
// the moment is between two steps, so that each step's entry is in the map when the step begins.
func breathing[K comparable, V any](fs *FS, m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		i := 0
		for k, v := range m {
			if !yield(k, v) {
				return
			}
			if i++; i%breath == 0 {
				fs.mu.Unlock()
				fs.mu.Lock()
			}
		}
	}
}

// expire has a directory listed again before it is believed, or the files in it are. With mu.
func (fs *FS) expire(n *node) {
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
func (fs *FS) alive(n *node) bool { return n == fs.root || n.parent != nil }

// since is the moment before which what is known of S3 is too old.
func (fs *FS) since() time.Time { return time.Now().Add(-fs.ttl) }

// fresh says that a directory's children are all there is.
func (fs *FS) fresh(n *node, since time.Time) bool {
	d := n.dir
	return d.complete && (!d.listed.Before(since) || time.Now().Before(d.retry))
}

// valid is for how long a node may be believed without asking S3.
func (fs *FS) valid(n *node, now time.Time) time.Duration {
	at := n.seenAt()
	if p := n.parent; p != nil && p.dir.complete && p.dir.listed.After(at) {
		at = p.dir.listed
	}
	left := at.Add(fs.ttl).Sub(now)
	if left < 0 || n.stale {
		left = 0
	}
	if fs.ttl > 0 && left < fs.ttl && len(fs.dirtyKeys) > 0 && fs.dirtyKeys[n.objectPathOrEmpty()] != nil {
		left = fs.ttl
	}
	return left
}

func (n *node) objectPathOrEmpty() string {
	if n.parent == nil {
		return ""
	}
	return n.objectPath()
}
