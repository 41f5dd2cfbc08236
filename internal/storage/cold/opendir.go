package cold

import (
	"context"
	"sync"
	"syscall"
)

// OpenDir opens a directory: what S3 has in it is known then.
func (fs *FS) OpenDir(ctx context.Context, id ID) (*Dir, error) {
	n, err := fs.tree.dirByID(id)
	if err != nil {
		return nil, err
	}
	fs.mu.Lock()
	fs.listings.walked(n)
	alive := fs.tree.alive(n)
	fs.mu.Unlock()
	if !alive {
		return &Dir{in: fs.changes, node: n}, nil
	}
	if err := fs.listings.load(ctx, n, fs.tree.since()); err != nil {
		fs.mu.Lock()
		ok := fs.listings.serveStale(n, err)
		fs.mu.Unlock()
		if !ok {
			return nil, err
		}
	}
	// A marker that other tools made: one request, once. Without an answer it goes as well.
	if err := fs.contents.fetchAttrs(ctx, n); err != nil {
		fs.log.Debug("a directory's attributes are not known", "event", "cold_attributes", "error", err)
	}
	return &Dir{in: fs.changes, node: n}, nil
}

// Dir is an open directory. Its entries are those of the moment at which reading began, as POSIX allows,
// save that what has gone since is left out.
type Dir struct {
	in   *changes
	node *node

	mu      sync.Mutex
	entries []*node
	names   []string
}

// DirEntry is one entry of a Dir.
type DirEntry struct {
	Name string
	Attr Attr // of "." and ".." the ID and the type alone
}

// Read hands out entries from a position on, of which the first is 0, until emit says that it takes no
// more. refer: each entry that it took, but "." and "..", is a reference. emit is called with locks held.
func (d *Dir) Read(pos uint64, refer bool, emit func(pos uint64, e DirEntry) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ch := d.in
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if pos == 0 {
		d.readLocked()
	}
	for i := pos; i < uint64(len(d.entries))+2; i++ {
		if i < 2 {
			if !emit(i, d.dot(i)) {
				return
			}
			continue
		}
		n := d.currentLocked(int(i - 2))
		if n == nil {
			continue
		}
		if refer {
			ch.tree.identify(n)
		}
		if !emit(i, DirEntry{d.names[i-2], ch.attrOf(n)}) {
			if refer && n.lookups == 0 && n != ch.tree.root {
				ch.tree.unknown(n)
			}
			return
		}
		if refer {
			ch.refer(n)
		}
	}
}

func (d *Dir) dot(i uint64) DirEntry {
	n, name := d.node, "."
	if i == 1 {
		name = ".."
		if n.parent != nil {
			n = n.parent
		}
	}
	return DirEntry{name, Attr{ID: ID(n.id), Ino: d.in.tree.inoOf(n), Mode: syscall.S_IFDIR}}
}

// currentLocked is the node that has the name of the ith entry now; nil when none has. With core.mu.
func (d *Dir) currentLocked(i int) *node {
	n, name := d.entries[i], d.names[i]
	if n.parent != d.node || n.name != name {
		return d.node.dir.child(name) // replaced, or gone
	}
	return n
}

// readLocked takes the entries as they are. With core.mu, which it gives up for a while.
func (d *Dir) readLocked() {
	count := d.node.dir.children.len()
	d.in.mu.Unlock() // memory for a million names takes a while to be had
	d.entries, d.names = make([]*node, 0, count), make([]string, 0, count)
	d.in.mu.Lock()
	for n := range breathing(d.in.core, d.node.dir.children.all()) {
		d.entries, d.names = append(d.entries, n), append(d.names, n.name)
	}
	d.node.dir.sequence = sequence{names: d.names}
}
