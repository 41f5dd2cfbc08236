package cold

import (
	"context"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// listing turns the keys below one directory, as they come from LIST in their order, into
// nodes. All of it is with core.mu.
//
// What is under way here is newer than what LIST says: a key with a dirty key is left as it is, and so
// is one that was written or deleted by us after the listing began (changes.ops).
type listing struct {
	in     *listings
	top    *node
	prefix string // of the keys of what is in top
	pass   uint32
	ops    uint64
	began  time.Time

	stack  []frame // the directories between top and the newest key
	moves  uint64  // tree.moves when the stack was right
	last   string  // the newest key
	direct int     // entries of top itself
	nested int     // keys further down

	doubts []string // prefixes of subdirectories that may have been removed

	deep bool // all of the tree is wanted
	done chan struct{}

	ctx     context.Context
	cancel  context.CancelCauseFunc // nil: it has no waiters
	waiters int
	err     error
}

// frame is a directory whose keys are coming.
type frame struct {
	component string // of the key
	node      *node
	before    string // the newest key before it
}

// add takes one entry.
func (l *listing) add(e *objectstore.Entry) {
	before := l.last
	if e.Prefix != "" {
		l.last = e.Prefix
		component := strings.TrimSuffix(e.Prefix[len(l.prefix):], "/")
		if name, ok := nameOf(component); ok {
			l.direct++
			if l.doubtful(name) {
				l.doubts = append(l.doubts, strings.Clone(e.Prefix))
			} else {
				l.directory(l.top, name)
			}
		} else {
			l.hide(l.top, e.Prefix)
		}
		return
	}
	l.last = e.Key
	if l.moves != l.in.tree.moves { // directories were renamed or removed since
		l.stack, l.moves = l.stack[:0], l.in.tree.moves
	}
	rest, parent, depth := e.Key[len(l.prefix):], l.top, 0
	if l.deleted(rest) {
		return
	}
	for {
		component, below, more := strings.Cut(rest, "/")
		if !more {
			break
		}
		if depth < len(l.stack) && l.stack[depth].component != component {
			l.leave(depth)
		}
		if depth == len(l.stack) {
			name, ok := nameOf(component)
			if !ok {
				l.hide(parent, e.Key)
				return
			}
			n := l.directory(parent, name)
			if n == nil {
				return
			}
			l.stack = append(l.stack, frame{strings.Clone(component), n, before})
		}
		parent, rest, depth = l.stack[depth].node, below, depth+1
	}
	l.leave(depth)
	if depth > 0 {
		l.nested++
	} else {
		l.direct++
	}
	if rest == "" {
		l.marker(parent, e)
		return
	}
	if name, ok := nameOf(rest); ok {
		l.file(parent, name, e)
	} else {
		l.hide(parent, e.Key)
	}
}

// deleted says that a deletion of the key is pending here, or was done after the listing began: what
// it would make visible stays invisible.
func (l *listing) deleted(rest string) bool {
	if len(l.in.changes.dirtyKeys)+len(l.in.changes.gone) == 0 {
		return false
	}
	path, marker := l.top.path(), strings.HasSuffix(rest, "/")
	for c := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		name, ok := nameOf(c)
		if !ok {
			return false
		}
		if path != "" {
			path += "/"
		}
		path += name
	}
	if marker {
		path += "/"
	}
	return l.in.changes.beingDeleted(path) || l.in.changes.gone[path] > l.ops
}

// doubtful says that a subdirectory is not known here and something below it is being deleted: if
// that is all there is below it, it has been removed, and is in S3 for a moment still.
func (l *listing) doubtful(name string) bool {
	if len(l.in.changes.dirtyKeys)+len(l.in.changes.gone) == 0 || l.top.dir.child(name) != nil {
		return false
	}
	path := join(l.top.path(), name) + "/"
	if l.in.changes.beingDeleted(path) || l.in.changes.deleting[path] > 0 {
		return true
	}
	for p, at := range l.in.changes.gone {
		if at > l.ops && strings.HasPrefix(p, path) {
			return true
		}
	}
	return false
}

// hide counts a key that cannot be shown.
func (l *listing) hide(parent *node, key string) {
	d := parent.dir
	if d.hiddenBy != l.pass {
		d.hidden, d.hiddenBy = 0, l.pass
	}
	d.hidden++
	if !l.in.hiddenSaid {
		l.in.hiddenSaid = true
		l.in.log.Warn("a key in S3 cannot be a file here, and is not shown; sandbox-init cold ls --keys shows all",
			"event", "cold_hidden", "key", key)
	}
}

// directory finds or makes a subdirectory; nil when a pending file of ours has its name.
func (l *listing) directory(parent *node, name string) *node {
	ls, n := l.in, parent.dir.child(name)
	if n != nil && !n.isDir() {
		if ls.changes.dirtyKeys[n.path()] != nil {
			return nil
		}
		// The name is both a file and a directory in S3. The directory is shown: it may hold many.
		ls.displace(n)
		n = nil
	}
	if n == nil {
		n = ls.tree.newNode(pending.Dir)
		n.mode, n.modeKnown, n.mtimeKnown = 0o755, true, true
		n.mtime = ls.started.UnixNano()
		n.ctime = n.mtime
		ls.tree.attach(parent, name, n)
	}
	if n.pass == 0 && !n.hasRemote() && ls.changes.dirtyKeys[n.objectPath()] == nil {
		ls.index.findDir(n)
	}
	l.saw(n)
	return n
}

// marker takes the object that stands for a directory itself.
func (l *listing) marker(n *node, e *objectstore.Entry) {
	if n == l.in.tree.root || l.in.changes.dirtyKeys[n.path()+"/"] != nil || n.touched > l.ops {
		return
	}
	l.renew(n, e)
}

// renew takes what LIST says of an object that the node stands for already, or for the
// first time.
func (l *listing) renew(n *node, e *objectstore.Entry) {
	v := version{ETag: e.ETag, Size: e.Size, Modified: e.LastModified.Unix()}
	// Our own writes are known by the Date of their answers, which is a moment later; and there
	// are stores whose copies onto themselves keep Last-Modified.
	if n.isRemote(v.ETag, v.Size) && v.Modified <= n.remote().Modified+2 {
		return
	}
	n.setRemote(v)
	n.modeKnown, n.mtimeKnown = false, false
	if n.foreign != nil {
		n.own().foreign = nil
	}
	n.ctime = e.LastModified.UnixNano()
	if !l.in.index.find(n, e.Key[len(l.in.prefix):]) {
		n.mtime = n.ctime
	}
}

// file takes an object that is a file or a link.
func (l *listing) file(parent *node, name string, e *objectstore.Entry) {
	ls, n := l.in, parent.dir.child(name)
	if n != nil && n.isDir() {
		parent.dir.hidden++ // the name is both; the directory came first, or is ours
		return
	}
	if n != nil {
		newer := n.pass > l.pass
		n.pass = max(n.pass, l.pass)
		if newer || n.touched > l.ops || len(ls.changes.dirtyKeys) > 0 && ls.changes.dirtyKeys[n.path()] != nil {
			return
		}
		if n.isRemote(e.ETag, e.Size) && !n.stale {
			l.renew(n, e)
			n.checked = momentOf(l.began)
			return
		}
		ls.displace(n) // another version is another node
	}
	n = ls.tree.newNode(pending.File)
	n.mode, n.size = 0o644, e.Size
	ls.tree.attach(parent, strings.Clone(name), n)
	l.renew(n, e)
	l.saw(n)
}

// saw notes that a node is in S3. A listing that began later may have seen it already, and
// what that says stands.
func (l *listing) saw(n *node) {
	if n.pass <= l.pass {
		n.pass, n.checked = l.pass, momentOf(l.began)
	}
}

// leave ends the directories below a depth: all their keys have come.
func (l *listing) leave(depth int) {
	for len(l.stack) > depth {
		f := l.stack[len(l.stack)-1]
		l.stack = l.stack[:len(l.stack)-1]
		l.complete(f.node)
	}
}

// complete ends a directory: what was there and did not come is gone.
func (l *listing) complete(n *node) {
	ls, d := l.in, n.dir
	for c := range breathing(ls.core, d.children.all()) {
		if c.pass >= l.pass || c.touched > l.ops || ls.changes.pendingIn(c) {
			continue
		}
		ls.index.drop(c.objectPath())
		ls.displace(c)
	}
	if d.hiddenBy != l.pass {
		d.hidden = 0
	}
	d.complete, d.singleLookups, d.retry = true, 0, time.Time{}
	d.listed = l.began
}

// pendingIn says that something of the node or below it is not in S3 yet.
func (ch *changes) pendingIn(n *node) bool {
	if len(ch.dirtyKeys) == 0 {
		return false
	}
	if ch.dirtyKeys[n.objectPath()] != nil {
		return true
	}
	if n.isDir() {
		for c := range n.dir.children.all() {
			if ch.pendingIn(c) {
				return true
			}
		}
	}
	return false
}
