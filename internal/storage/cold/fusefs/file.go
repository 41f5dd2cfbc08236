package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

func (b *bridge) keepFile(h *cold.Handle) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextFH++
	b.files[b.nextFH] = h
	return b.nextFH
}

func (b *bridge) file(fh uint64) *cold.Handle {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files[fh]
}

func forWriting(flags uint32) bool { return flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// Open implements fuse.RawFileSystem. The kernel keeps what it has cached of the file: a node is
// one version, and what changes it goes through the kernel.
func (b *bridge) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	h, err := b.tree.Open(r, in.NodeId, forWriting(in.Flags))
	if err != nil {
		return status(err)
	}
	out.Fh, out.OpenFlags = b.keepFile(h), fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Create implements fuse.RawFileSystem.
func (b *bridge) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	r := newRequest(cancel)
	defer r.end()
	a, h, err := b.tree.Create(r, in.NodeId, name, in.Mode, cold.CreateFlags{
		Write: forWriting(in.Flags), Exclusive: in.Flags&syscall.O_EXCL != 0, Truncate: in.Flags&syscall.O_TRUNC != 0,
	})
	if err != nil {
		return status(err)
	}
	fill(&out.EntryOut, a)
	out.Fh, out.OpenFlags = b.keepFile(h), fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Read implements fuse.RawFileSystem.
func (b *bridge) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h := b.file(in.Fh)
	if h == nil {
		return nil, fuse.EBADF
	}
	r := newRequest(cancel)
	defer r.end()
	p, direct, err := h.Read(r, int64(in.Offset), int(in.Size))
	if err != nil {
		return nil, status(err)
	}
	if direct != nil {
		return fuse.ReadResultData(direct), fuse.OK
	}
	if p.N == 0 {
		p.Release()
		return fuse.ReadResultData(nil), fuse.OK
	}
	return &pinnedResult{p}, fuse.OK
}

// pinnedResult has the kernel take a range straight from the cache's file, which stays as it is
// until that is done.
type pinnedResult struct{ cache.Pinned }

// Size implements fuse.ReadResult.
func (p *pinnedResult) Size() int { return p.N }

// Done implements fuse.ReadResult.
func (p *pinnedResult) Done() { p.Release() }

// Seekable has go-fuse splice(2) the range.
func (p *pinnedResult) Seekable() (fd uintptr, off int64, size int) { return p.FD.Fd(), p.Off, p.N }

// Bytes implements fuse.ReadResult.
func (p *pinnedResult) Bytes(buf []byte) ([]byte, fuse.Status) {
	n, err := p.FD.ReadAt(buf[:min(len(buf), p.N)], p.Off)
	if n < p.N && err != nil {
		return nil, fuse.EIO
	}
	return buf[:n], fuse.OK
}

// Write implements fuse.RawFileSystem.
func (b *bridge) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h := b.file(in.Fh)
	if h == nil {
		return 0, fuse.EBADF
	}
	r := newRequest(cancel)
	defer r.end()
	n, err := h.WriteAt(r, data, int64(in.Offset))
	return uint32(n), status(err)
}

// Flush implements fuse.RawFileSystem.
func (b *bridge) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	h := b.file(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	r := newRequest(cancel)
	defer r.end()
	return status(h.Flush(r))
}

// Fsync implements fuse.RawFileSystem.
func (b *bridge) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h := b.file(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	r := newRequest(cancel)
	defer r.end()
	return status(h.Sync(r))
}

// Release implements fuse.RawFileSystem.
func (b *bridge) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	b.mu.Lock()
	h := b.files[in.Fh]
	delete(b.files, in.Fh)
	b.mu.Unlock()
	if h != nil {
		h.Close()
	}
}
