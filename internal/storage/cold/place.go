package cold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// PutRequest is what Put stores.
type PutRequest struct {
	Path   string
	Kind   string // "file" or empty, "dir", "symlink"
	Mode   int64  // permissions; negative: as they are, or the usual ones
	Mtime  int64  // nanoseconds since the epoch
	Target string // of a symbolic link
	Body   io.Reader
}

// Placed is what Put has put in its place, on its way to S3.
type Placed struct {
	in   *changes
	node *node
}

// Object is the path of its object, as SyncBelow takes it: a directory's ends in "/". Empty: it has been
// removed.
func (p Placed) Object() string {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return p.node.objectPathOrEmpty()
}

// Describe tells what it is now.
func (p Placed) Describe() contract.ColdEntry {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return p.in.describe(p.node)
}

// Put stores a file, a directory or a symbolic link, in place of a file or a link that has its path. It
// returns when what is stored is kept here.
func (fs *FS) Put(ctx context.Context, r PutRequest) (Placed, error) {
	n, err := fs.names.put(ctx, r)
	return Placed{fs.changes, n}, err
}

func (ns *names) put(ctx context.Context, r PutRequest) (*node, error) {
	if r.Path == "" {
		return nil, syscall.EINVAL
	}
	if r.Kind == "dir" {
		return ns.putDir(ctx, r.Path, r.Mode)
	}
	dir, name := "", r.Path
	if i := strings.LastIndexByte(r.Path, '/'); i >= 0 {
		dir, name = r.Path[:i], r.Path[i+1:]
	}
	parent, err := ns.findDir(ctx, dir)
	if err == nil {
		err = ns.checkName(parent, name, false)
	}
	if err != nil {
		return nil, err
	}
	switch r.Kind {
	case "", "file":
		if r.Mode < 0 {
			r.Mode = 0o644
		}
		return ns.receive(ctx, parent, name, r)
	case "symlink":
		return ns.putLink(ctx, parent, name, r.Target, r.Mtime)
	}
	return nil, syscall.EINVAL
}

// putDir makes a directory, and gives it or the one that is there a mode.
func (ns *names) putDir(ctx context.Context, path string, mode int64) (*node, error) {
	n, err := ns.findDir(ctx, path)
	if err != nil || mode < 0 || n == ns.tree.root {
		return n, err
	}
	if err := ns.contents.fetchAttrs(ctx, n); err != nil {
		return nil, err
	}
	ns.mu.Lock()
	same := n.mode == uint16(mode)&permMask
	ns.mu.Unlock()
	if same {
		return n, nil
	}
	m := uint32(mode)
	return n, ns.files.setattr(ctx, n, AttrChange{Mode: &m})
}

// putLink puts a symbolic link under a name, in place of a file or link that has it.
func (ns *names) putLink(ctx context.Context, parent *node, name, target string, mtime int64) (*node, error) {
	if target == "" {
		return nil, syscall.EINVAL
	}
	if len(target) > maxTarget {
		return nil, syscall.ENAMETOOLONG
	}
	if _, err := ns.listings.resolve(ctx, parent, name); err != nil && !errors.Is(err, syscall.ENOENT) {
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.tree.newNode(pending.Symlink)
	n.mode, n.modeKnown, n.mtime, n.mtimeKnown = 0o777, true, mtime, true
	n.own().target, n.size = target, int64(len(target))
	n.ino = newIno()
	n.changed(time.Now())
	n.checked = momentOf(time.Now())
	if err := ns.install(parent, name, n); err != nil {
		return nil, err
	}
	ns.tree.notifyEntry(parent, name)
	return n, nil
}

// findDir walks to a directory, making what is missing of it: keys need no directories.
func (ns *names) findDir(ctx context.Context, path string) (*node, error) {
	n := ns.tree.root
	for c := range strings.SplitSeq(path, "/") {
		if c == "" {
			continue
		}
		next, err := ns.listings.resolve(ctx, n, c)
		if errors.Is(err, syscall.ENOENT) {
			if next, err = ns.mkdir(ctx, n, c, 0o755); errors.Is(err, syscall.EEXIST) { // another request was faster
				next, err = ns.listings.resolve(ctx, n, c)
			}
			ns.mu.Lock()
			ns.tree.notifyEntry(n, c)
			ns.mu.Unlock()
		}
		if err != nil {
			return nil, err
		}
		if !next.isDir() {
			return nil, syscall.ENOTDIR
		}
		n = next
	}
	return n, nil
}

// receive takes a body into the cache and then puts it under its name, in place of what has it.
func (ns *names) receive(ctx context.Context, parent *node, name string, r PutRequest) (*node, error) {
	data := newDataName()
	f, err := ns.cache.Create(data)
	if err != nil {
		return nil, err
	}
	if err := ns.files.copyBody(ctx, r.Body, f); err != nil {
		f.Discard()
		return nil, err
	}
	if _, err := ns.listings.resolve(ctx, parent, name); err != nil && !errors.Is(err, syscall.ENOENT) {
		f.Discard()
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.tree.newNode(pending.File)
	n.mode, n.modeKnown, n.mtime, n.mtimeKnown = uint16(r.Mode)&permMask, true, r.Mtime, true
	n.own().data, n.size, n.own().gen, n.own().dataGen = data, f.Size(), 1, 1
	n.ino = newIno()
	n.changed(time.Now())
	n.checked = momentOf(time.Now())
	if err := ns.install(parent, name, n); err != nil {
		f.Discard()
		return nil, err
	}
	f.Return()
	ns.tree.notifyEntry(parent, name)
	return n, nil
}

// install puts a new file under a name, in place of a file that has it. With mu.
func (ns *names) install(parent *node, name string, n *node) error {
	if !ns.tree.alive(parent) {
		return syscall.ENOENT
	}
	old := parent.dir.child(name)
	if old != nil && old.isDir() {
		return syscall.EISDIR
	}
	t := ns.changes.begin()
	base, path := version{}, join(parent.path(), name)
	if old != nil {
		if old.origin == "" {
			base = old.remote()
		}
		ns.changes.detach(old)
		t.undo(func() { ns.tree.attach(parent, name, old) })
	}
	ns.tree.attach(parent, name, n)
	t.undo(func() { ns.changes.detach(n) })
	t.want(path, n, base)
	if err := t.commit(); err != nil {
		return err
	}
	if old != nil {
		ns.contents.orphaned(old, path)
	}
	ns.touchDir(parent, time.Now())
	return nil
}

// copyBody writes what a client sends into the cache.
func (fl *files) copyBody(ctx context.Context, body io.Reader, f *cache.File) error {
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	off := int64(0)
	for {
		// Not io.ReadFull: its ErrUnexpectedEOF would make a body that broke off look whole.
		n, rerr := 0, error(nil)
		for n < len(buf) && rerr == nil {
			var m int
			m, rerr = body.Read(buf[n:])
			n += m
		}
		for b := buf[:n]; len(b) > 0; {
			var m int
			err := fl.withSpace(ctx, nil, func() (err error) {
				m, err = f.WriteAt(b, off)
				return err
			})
			if err != nil {
				return err
			}
			b, off = b[m:], off+int64(m)
		}
		if errors.Is(rerr, io.EOF) {
			return nil
		}
		if rerr != nil {
			return fmt.Errorf("the content broke off after %d bytes: %w", off, errors.Join(rerr, syscall.EIO))
		}
	}
}
