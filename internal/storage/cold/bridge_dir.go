package cold

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// folder is an open directory. Its entries are those of the moment at which reading began, as
// POSIX allows, save that what has gone since is left out.
type folder struct {
	node *node

	mu      sync.Mutex
	entries []*node
	names   []string
}

// OpenDir implements fuse.RawFileSystem.
func (b *bridge) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, err := b.dirNode(in.NodeId)
	if err != nil {
		return status(err)
	}
	r := newRequest(cancel)
	defer r.end()
	b.fs.mu.Lock()
	b.fs.walked(n)
	alive := b.fs.alive(n)
	b.fs.mu.Unlock()
	if alive {
		if err := b.fs.load(r, n, b.fs.since()); err != nil {
			b.fs.mu.Lock()
			ok := b.fs.serveStale(n, err)
			b.fs.mu.Unlock()
			if !ok {
				return status(err)
			}
		}
		// A marker that other tools made: one request, once. Without an answer it goes as well.
		if err := b.fs.fetchAttrs(r, n); err != nil {
			b.fs.log.Debug("a directory's attributes are not known", "event", "cold_attributes", "error", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextFH++
	b.folders[b.nextFH] = &folder{node: n}
	out.Fh = b.nextFH
	return fuse.OK
}

// read takes the entries as they are. With FS.mu.
func (f *folder) read() {
	f.entries = slices.Collect(maps.Values(f.node.dir.children))
	slices.SortFunc(f.entries, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	f.names = make([]string, len(f.entries))
	for i, n := range f.entries {
		f.names[i] = n.name
	}
	f.node.dir.sequence = sequence{names: f.names}
}

// ReadDirPlus implements fuse.RawFileSystem: names with the attributes that the listing told.
func (b *bridge) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return b.readDir(in, out, true)
}

// ReadDir implements fuse.RawFileSystem.
func (b *bridge) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return b.readDir(in, out, false)
}

func (b *bridge) readDir(in *fuse.ReadIn, out *fuse.DirEntryList, plus bool) fuse.Status {
	b.mu.Lock()
	f := b.folders[in.Fh]
	b.mu.Unlock()
	if f == nil {
		return fuse.EBADF
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	if in.Offset == 0 {
		f.read()
	}
	up := f.node.parent
	if up == nil {
		up = f.node
	}
	for i := in.Offset; i < uint64(len(f.entries))+2; i++ {
		switch i {
		case 0:
			if !addDir(out, ".", f.node, i, plus) {
				return fuse.OK
			}
		case 1:
			if !addDir(out, "..", up, i, plus) {
				return fuse.OK
			}
		default:
			n, name := f.entries[i-2], f.names[i-2]
			if n.parent != f.node || n.name != name {
				n = f.node.dir.child(name) // replaced, or gone
			}
			if n != nil && !b.addEntry(out, name, n, i, plus) {
				return fuse.OK
			}
		}
	}
	return fuse.OK
}

// addDir adds "." and "..", which the kernel looks up by itself.
func addDir(out *fuse.DirEntryList, name string, n *node, i uint64, plus bool) bool {
	e := fuse.DirEntry{Name: name, Ino: n.id, Mode: syscall.S_IFDIR, Off: i + 1}
	if plus {
		return out.AddDirLookupEntry(e) != nil
	}
	return out.AddDirEntry(e)
}

func (b *bridge) addEntry(out *fuse.DirEntryList, name string, n *node, i uint64, plus bool) bool {
	e := fuse.DirEntry{Name: name, Ino: n.id, Mode: n.typeBits(), Off: i + 1}
	if !plus {
		return out.AddDirEntry(e)
	}
	o := out.AddDirLookupEntry(e)
	if o == nil {
		return false
	}
	b.refer(n, o)
	return true
}

// ReleaseDir implements fuse.RawFileSystem.
func (b *bridge) ReleaseDir(in *fuse.ReleaseIn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.folders, in.Fh)
}

// FsyncDir implements fuse.RawFileSystem: names are in the journal.
func (b *bridge) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return status(b.fs.journal.Sync())
}

// Mkdir implements fuse.RawFileSystem.
func (b *bridge) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return b.made(cancel, in.NodeId, out, func(r *request, parent *node) (*node, error) {
		return b.fs.mkdir(r, parent, name, in.Mode)
	})
}

// Symlink implements fuse.RawFileSystem.
func (b *bridge) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return b.made(cancel, in.NodeId, out, func(r *request, parent *node) (*node, error) {
		return b.fs.symlink(r, parent, name, target)
	})
}

// Mknod implements fuse.RawFileSystem. mknod(2) has EPERM for a type that the file system does
// not support.
func (b *bridge) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if t := in.Mode & syscall.S_IFMT; t != syscall.S_IFREG && t != 0 {
		return fuse.EPERM
	}
	return b.made(cancel, in.NodeId, out, func(r *request, parent *node) (*node, error) {
		return b.fs.create(r, parent, name, in.Mode)
	})
}

// Link implements fuse.RawFileSystem. link(2) has EPERM for a file system without hard links.
func (b *bridge) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return fuse.EPERM
}

func (b *bridge) made(cancel <-chan struct{}, id uint64, out *fuse.EntryOut, do func(*request, *node) (*node, error)) fuse.Status {
	parent, err := b.dirNode(id)
	if err != nil {
		return status(err)
	}
	r := newRequest(cancel)
	defer r.end()
	n, err := do(r, parent)
	if err != nil {
		return status(err)
	}
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	b.refer(n, out)
	return fuse.OK
}

// Unlink implements fuse.RawFileSystem.
func (b *bridge) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	parent, err := b.dirNode(in.NodeId)
	if err != nil {
		return status(err)
	}
	r := newRequest(cancel)
	defer r.end()
	return status(b.fs.unlink(r, parent, name))
}

// Rmdir implements fuse.RawFileSystem.
func (b *bridge) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	parent, err := b.dirNode(in.NodeId)
	if err != nil {
		return status(err)
	}
	r := newRequest(cancel)
	defer r.end()
	return status(b.fs.rmdir(r, parent, name))
}

// renameNoReplace is RENAME_NOREPLACE of renameat2(2), the one flag that S3 has an equal of.
const renameNoReplace = 1

// Rename implements fuse.RawFileSystem.
func (b *bridge) Rename(cancel <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	if in.Flags&^renameNoReplace != 0 {
		return fuse.EINVAL
	}
	from, err := b.dirNode(in.NodeId)
	if err != nil {
		return status(err)
	}
	to, err := b.dirNode(in.Newdir)
	if err != nil {
		return status(err)
	}
	r := newRequest(cancel)
	defer r.end()
	return status(b.fs.rename(r, from, name, to, newName, in.Flags&renameNoReplace != 0))
}
