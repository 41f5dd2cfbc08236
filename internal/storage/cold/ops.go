package cold

import (
	"context"
	"errors"
	"math"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// The operations of the tree, as a mount needs them (package fusefs). Each names nodes by their IDs and
// takes the locks that it needs; none is held when it returns. Errors are those of Errno.

// ID names a node while its front has a reference to it. The root is 1, and needs no reference.
type ID = uint64

// Attr is what stat(2) tells of a node. The owner is always the agent.
type Attr struct {
	ID                  ID
	Ino                 uint64
	Mode                uint32 // permissions and the type, as in st_mode
	Size                int64
	Nlink               uint32
	Atime, Mtime, Ctime int64         // nanoseconds since the epoch
	Valid               time.Duration // for how long it may be believed
}

// Front is what shows the tree to programs, and keeps what it was told.
type Front interface {
	// EntryChanged says that a name has to be looked up again. It may be called with locks held, and
	// must not wait.
	EntryChanged(dir ID, name string)
}

// Mount has a front be told of changes that it did not make itself. There is one at a time.
func (fs *FS) Mount(f Front) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.tree.front = f
}

// Unmount takes back every reference that the front has, unless there is another one already. Its handles
// have been closed.
func (fs *FS) Unmount(f Front) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.tree.front != f {
		return
	}
	fs.tree.front = nil
	for _, n := range fs.tree.ids {
		if n == nil {
			continue
		}
		if n.lookups = 0; n != fs.tree.root {
			fs.tree.unknown(n)
			fs.contents.dropOrphan(n)
		}
	}
}

// notifyEntry has the front look a name up again. With mu.
func (tr *tree) notifyEntry(parent *node, name string) {
	if tr.front == nil || parent == nil || parent != tr.root && parent.lookups == 0 {
		return
	}
	tr.front.EntryChanged(ID(parent.id), name)
}

// lookupsMost is from how many references on a node is known for ever.
const lookupsMost = math.MaxUint32

// identify gives a node an ID, if it has none. IDs that the kernel has forgotten are used again.
func (tr *tree) identify(n *node) {
	switch last := len(tr.free) - 1; {
	case n.id != 0:
	case last >= 0:
		n.id, tr.free = tr.free[last], tr.free[:last]
		tr.ids[n.id] = n
	default:
		n.id = uint32(len(tr.ids))
		tr.ids = append(tr.ids, n)
	}
}

// known is the node of an ID, or nil.
func (tr *tree) known(id ID) *node {
	if id < uint64(len(tr.ids)) {
		return tr.ids[id]
	}
	return nil
}

// unknown takes a node's ID back.
func (tr *tree) unknown(n *node) {
	tr.ids[n.id] = nil
	tr.free = append(tr.free, n.id)
	n.id = 0
}

func (tr *tree) byID(id ID) (*node, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := tr.known(id)
	if n == nil {
		return nil, syscall.ESTALE
	}
	return n, nil
}

func (tr *tree) dirByID(id ID) (*node, error) {
	n, err := tr.byID(id)
	if err == nil && !n.isDir() || err != nil {
		return nil, syscall.ENOTDIR
	}
	return n, nil
}

// Lookup finds a name in a directory, and gives a reference to it. An Attr without an ID says that there
// is none, and for how long that may be believed; ENOENT that it may not.
func (fs *FS) Lookup(ctx context.Context, dir ID, name string) (Attr, error) {
	parent, err := fs.tree.dirByID(dir)
	if err != nil {
		return Attr{}, err
	}
	if len(name) > MaxName {
		return Attr{}, syscall.ENAMETOOLONG
	}
	n, err := fs.listings.resolve(ctx, parent, name)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if errors.Is(err, syscall.ENOENT) && fs.tree.alive(parent) && fs.tree.fresh(parent, fs.tree.since()) {
		if left := time.Until(parent.dir.listed.Add(fs.ttl)); left > 0 {
			return Attr{Valid: left}, nil
		}
	}
	if err != nil {
		return Attr{}, err
	}
	return fs.changes.refer(n), nil
}

// Forget takes references back.
func (fs *FS) Forget(id ID, count uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.tree.known(id)
	if n == nil || n == fs.tree.root || n.lookups == lookupsMost {
		return
	}
	if n.lookups -= uint32(min(count, uint64(n.lookups))); n.lookups == 0 {
		fs.tree.unknown(n)
		fs.contents.dropOrphan(n)
	}
}

// Stat tells a node's attributes.
func (fs *FS) Stat(id ID) (Attr, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.tree.known(id)
	if n == nil {
		return Attr{}, syscall.ESTALE
	}
	return fs.changes.attrOf(n), nil
}

// SetAttr changes attributes, the size included.
func (fs *FS) SetAttr(ctx context.Context, id ID, ch AttrChange) (Attr, error) {
	n, err := fs.tree.byID(id)
	if err == nil {
		err = fs.files.setattr(ctx, n, ch)
	}
	if err != nil {
		return Attr{}, err
	}
	return fs.Stat(id)
}

// Readlink reads a symbolic link.
func (fs *FS) Readlink(id ID) (string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.tree.known(id)
	if n == nil || n.kind != pending.Symlink {
		return "", syscall.EINVAL
	}
	return n.target, nil
}

// Open opens a file.
func (fs *FS) Open(ctx context.Context, id ID, write bool) (*Handle, error) {
	n, err := fs.tree.byID(id)
	if err != nil {
		return nil, err
	}
	return fs.files.open(ctx, n, write)
}

// CreateFlags are those of open(2) that matter to a file that is made.
type CreateFlags struct{ Write, Exclusive, Truncate bool }

// Create makes a file and opens it, and gives a reference to it. A file that is there already is opened,
// unless Exclusive asks for a new one.
func (fs *FS) Create(ctx context.Context, dir ID, name string, mode uint32, f CreateFlags) (Attr, *Handle, error) {
	parent, err := fs.tree.dirByID(dir)
	if err != nil {
		return Attr{}, nil, err
	}
	n, err := fs.names.create(ctx, parent, name, mode)
	if errors.Is(err, syscall.EEXIST) && !f.Exclusive {
		if n, err = fs.listings.resolve(ctx, parent, name); err == nil && n.isDir() {
			err = syscall.EISDIR
		}
	}
	if err != nil {
		return Attr{}, nil, err
	}
	h, err := fs.files.open(ctx, n, f.Write)
	if err != nil {
		return Attr{}, nil, err
	}
	if f.Truncate {
		if err := fs.files.truncate(ctx, n, 0); err != nil {
			h.Close()
			return Attr{}, nil, err
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.changes.refer(n), h, nil
}

// Mknod makes an empty file, and gives a reference to it.
func (fs *FS) Mknod(ctx context.Context, dir ID, name string, mode uint32) (Attr, error) {
	return fs.made(dir, func(parent *node) (*node, error) { return fs.names.create(ctx, parent, name, mode) })
}

// Mkdir makes a directory, and gives a reference to it.
func (fs *FS) Mkdir(ctx context.Context, dir ID, name string, mode uint32) (Attr, error) {
	return fs.made(dir, func(parent *node) (*node, error) { return fs.names.mkdir(ctx, parent, name, mode) })
}

// Symlink makes a symbolic link, and gives a reference to it.
func (fs *FS) Symlink(ctx context.Context, dir ID, name, target string) (Attr, error) {
	return fs.made(dir, func(parent *node) (*node, error) { return fs.names.symlink(ctx, parent, name, target) })
}

func (fs *FS) made(dir ID, do func(parent *node) (*node, error)) (Attr, error) {
	parent, err := fs.tree.dirByID(dir)
	if err != nil {
		return Attr{}, err
	}
	n, err := do(parent)
	if err != nil {
		return Attr{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.changes.refer(n), nil
}

// Unlink removes a file or a link.
func (fs *FS) Unlink(ctx context.Context, dir ID, name string) error {
	parent, err := fs.tree.dirByID(dir)
	if err != nil {
		return err
	}
	return fs.names.unlink(ctx, parent, name)
}

// Rmdir removes an empty directory.
func (fs *FS) Rmdir(ctx context.Context, dir ID, name string) error {
	parent, err := fs.tree.dirByID(dir)
	if err != nil {
		return err
	}
	return fs.names.rmdir(ctx, parent, name)
}

// Rename moves a node, with what is below it, in place of what has the new name; EEXIST where that is not
// to be.
func (fs *FS) Rename(ctx context.Context, from ID, name string, to ID, newName string, noReplace bool) error {
	source, err := fs.tree.dirByID(from)
	if err != nil {
		return err
	}
	target, err := fs.tree.dirByID(to)
	if err != nil {
		return err
	}
	return fs.names.rename(ctx, source, name, target, newName, noReplace)
}

// SyncDir returns when the disk knows what was done in directories.
func (fs *FS) SyncDir() error { return fs.journal.Sync() }
