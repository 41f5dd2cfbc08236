package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/matrx/sandbox/internal/storage/cold"
)

// OpenDir implements fuse.RawFileSystem.
func (b *bridge) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	d, err := b.tree.OpenDir(r, in.NodeId)
	if err != nil {
		return status(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextFH++
	b.folders[b.nextFH] = d
	out.Fh = b.nextFH
	return fuse.OK
}

// ReadDirPlus implements fuse.RawFileSystem: names with the attributes that the listing told.
func (b *bridge) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return b.readDir(in, true, func(e fuse.DirEntry, a cold.Attr) bool {
		entry := out.AddDirLookupEntry(e)
		if entry != nil && !isDot(e.Name) { // those the kernel looks up by itself
			fill(entry, a)
		}
		return entry != nil
	})
}

// ReadDir implements fuse.RawFileSystem.
func (b *bridge) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return b.readDir(in, false, func(e fuse.DirEntry, _ cold.Attr) bool { return out.AddDirEntry(e) })
}

func isDot(name string) bool { return name == "." || name == ".." }

func (b *bridge) readDir(in *fuse.ReadIn, plus bool, add func(fuse.DirEntry, cold.Attr) bool) fuse.Status {
	b.mu.Lock()
	d := b.folders[in.Fh]
	b.mu.Unlock()
	if d == nil {
		return fuse.EBADF
	}
	d.Read(in.Offset, plus, func(pos uint64, e cold.DirEntry) bool {
		return add(fuse.DirEntry{Name: e.Name, Ino: e.Attr.Ino, Mode: e.Attr.Mode & syscall.S_IFMT, Off: pos + 1}, e.Attr)
	})
	return fuse.OK
}

// ReleaseDir implements fuse.RawFileSystem.
func (b *bridge) ReleaseDir(in *fuse.ReleaseIn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.folders, in.Fh)
}

// FsyncDir implements fuse.RawFileSystem.
func (b *bridge) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return status(b.tree.SyncDir())
}
