package cold

import "time"

// changes is what is not in S3 as it is here yet, and the order in which it goes there. All of it is guarded by
// core.mu.
type changes struct {
	*core
	tree *tree

	dirtyKeys map[string]*dirtyKey
	seq       uint64                        // of changes
	ops       uint64                        // of jobs that have ended
	origins   map[string]map[*node]struct{} // nodes whose content is at another path
	deleting  map[string]int                // deletions pending below a directory
	ready     *keyHeap                      // by when they are due
	uploads   *keyHeap                      // changes, by their order
	deletes   *keyHeap                      // deletions that are due, by their order
	waiting   map[*dirtyKey]struct{}        // blocked
	parked    map[string]*dirtyKey          // deletions of markers that wait for what is in their directories
	hurry     int                           // how many want that nothing rests
	progress  chan struct{}                 // closed and replaced when a job ends
	awake     chan struct{}

	compacting bool

	listings int               // under way
	gone     map[string]uint64 // what was deleted in S3 while listings are under way, and when by ops
}

func newChanges(c *core, tr *tree) *changes {
	return &changes{
		core: c, tree: tr,
		dirtyKeys: map[string]*dirtyKey{}, origins: map[string]map[*node]struct{}{}, deleting: map[string]int{},
		ready: byDue(), uploads: byOrder(func(s *dirtyKey) *int { return &s.inUploads }), deletes: byOrder(func(s *dirtyKey) *int { return &s.inDeletes }),
		waiting: map[*dirtyKey]struct{}{}, parked: map[string]*dirtyKey{}, progress: make(chan struct{}), awake: make(chan struct{}, 1),
		gone: map[string]uint64{},
	}
}

// detach takes a node out of its directory, with all that is below it. Who has it open goes
// on with it.
func (ch *changes) detach(n *node) {
	if n.parent == nil {
		return
	}
	ch.leavesDatabase(n)
	n.parent.dir.children.remove(n.name)
	n.parent = nil
	ch.tree.moves++
	if n.isDir() {
		for c := range n.dir.children.all() {
			ch.detach(c)
		}
	}
}

// valid is for how long a node may be believed without asking S3.
func (ch *changes) valid(n *node, now time.Time) time.Duration {
	at := n.seenAt()
	if p := n.parent; p != nil && p.dir.complete && p.dir.listed.After(at) {
		at = p.dir.listed
	}
	left := at.Add(ch.ttl).Sub(now)
	if left < 0 || n.stale {
		left = 0
	}
	if ch.ttl > 0 && left < ch.ttl && len(ch.dirtyKeys) > 0 && ch.dirtyKeys[n.objectPathOrEmpty()] != nil {
		left = ch.ttl
	}
	return left
}

// reattach moves a node, with what is below it.
func (ch *changes) reattach(n, parent *node, name string) {
	ch.leavesDatabase(n)
	ch.tree.inoOf(n) // keeps the one that it has
	n.parent.dir.children.remove(n.name)
	n.parent, n.name = parent, name
	parent.dir.children.put(n)
	ch.tree.moves++
}

// attrOf is what a front may be told of a node now. With mu.
func (ch *changes) attrOf(n *node) Attr {
	a := Attr{
		ID: ID(n.id), Ino: ch.tree.inoOf(n), Mode: n.stMode(), Size: n.size, Nlink: 1,
		Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Valid: ch.valid(n, time.Now()),
	}
	if n.parent == nil && n != ch.tree.root {
		a.Nlink = 0
	}
	if a.Atime == 0 {
		a.Atime = a.Mtime
	}
	return a
}

// refer is attrOf, and counts a reference that the front has from now on. With mu.
func (ch *changes) refer(n *node) Attr {
	ch.tree.identify(n)
	if n.lookups < lookupsMost {
		n.lookups++
	}
	return ch.attrOf(n)
}

// setOrigin says where a node's remote content is; "" is its own path.
func (ch *changes) setOrigin(n *node, path string) {
	if n.origin == path {
		return
	}
	if n.origin != "" {
		if set := ch.origins[n.origin]; set != nil {
			delete(set, n)
			if len(set) == 0 {
				delete(ch.origins, n.origin)
			}
		}
		ch.recheck()
	}
	n.own().origin = path
	if path != "" {
		if ch.origins[path] == nil {
			ch.origins[path] = map[*node]struct{}{}
		}
		ch.origins[path][n] = struct{}{}
	}
}
