package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/matrx/sandbox/internal/storage/cold"
)

// Mkdir implements fuse.RawFileSystem.
func (b *bridge) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	return answerEntry(out)(b.tree.Mkdir(r, in.NodeId, name, in.Mode))
}

// Symlink implements fuse.RawFileSystem.
func (b *bridge) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	return answerEntry(out)(b.tree.Symlink(r, in.NodeId, name, target))
}

// Mknod implements fuse.RawFileSystem. mknod(2) has EPERM for a type that the file system does
// not support.
func (b *bridge) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if t := in.Mode & syscall.S_IFMT; t != syscall.S_IFREG && t != 0 {
		return fuse.EPERM
	}
	r := newRequest(cancel)
	defer r.end()
	return answerEntry(out)(b.tree.Mknod(r, in.NodeId, name, in.Mode))
}

func answerEntry(out *fuse.EntryOut) func(cold.Attr, error) fuse.Status {
	return func(a cold.Attr, err error) fuse.Status {
		if err != nil {
			return status(err)
		}
		fill(out, a)
		return fuse.OK
	}
}

// Link implements fuse.RawFileSystem. link(2) has EPERM for a file system without hard links.
func (b *bridge) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return fuse.EPERM
}

// Unlink implements fuse.RawFileSystem.
func (b *bridge) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	return status(b.tree.Unlink(r, in.NodeId, name))
}

// Rmdir implements fuse.RawFileSystem.
func (b *bridge) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	return status(b.tree.Rmdir(r, in.NodeId, name))
}

// renameNoReplace is RENAME_NOREPLACE of renameat2(2), the one flag that S3 has an equal of.
const renameNoReplace = 1

// Rename implements fuse.RawFileSystem.
func (b *bridge) Rename(cancel <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	if in.Flags&^renameNoReplace != 0 {
		return fuse.EINVAL
	}
	r := newRequest(cancel)
	defer r.end()
	return status(b.tree.Rename(r, in.NodeId, name, in.Newdir, newName, in.Flags&renameNoReplace != 0))
}
