package cold

import (
	"context"
	"math"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// bridge speaks FUSE for an FS: one for each mount. What it does not implement the kernel is told
// once, and does by itself (locks, SEEK_HOLE) or refuses (extended attributes, fallocate).
type bridge struct {
	fuse.RawFileSystem
	fs     *FS
	server *fuse.Server

	mu      sync.Mutex
	nextFH  uint64
	files   map[uint64]*handle
	folders map[uint64]*folder
}

var _ fuse.RawFileSystem = (*bridge)(nil)

func newBridge(fs *FS) *bridge {
	return &bridge{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: fs,
		files: map[uint64]*handle{}, folders: map[uint64]*folder{},
	}
}

func (b *bridge) String() string { return "cold" }

// grace is how long a request goes on after its program got a signal: programs do not expect
// EINTR of a file, and most signals do not mean that nobody waits any more.
const grace = 2 * time.Second

// request is the context of one request. It costs nothing until something waits on it.
type request struct {
	context.Context // values
	interrupt       <-chan struct{}
	ended           chan struct{}
	once            sync.Once
	done            chan struct{}
}

func newRequest(interrupt <-chan struct{}) *request {
	return &request{Context: context.Background(), interrupt: interrupt, ended: make(chan struct{}), done: make(chan struct{})}
}

func (r *request) end() { close(r.ended) }

// Done implements context.Context.
func (r *request) Done() <-chan struct{} {
	r.once.Do(func() {
		go func() {
			select {
			case <-r.ended:
				return
			case <-r.interrupt:
			}
			t := time.NewTimer(grace)
			defer t.Stop()
			select {
			case <-r.ended:
			case <-t.C:
				close(r.done)
			}
		}()
	})
	return r.done
}

// Err implements context.Context.
func (r *request) Err() error {
	select {
	case <-r.done:
		return errInterrupted
	default:
		return nil
	}
}

func status(err error) fuse.Status { return fuse.Status(errno(err)) }

// node finds what the kernel means. It knows no others than it was told of.
func (b *bridge) node(id uint64) *node {
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	return b.fs.ids[id]
}

// dirNode is node for a directory.
func (b *bridge) dirNode(id uint64) (*node, error) {
	n := b.node(id)
	if n == nil || !n.isDir() {
		return nil, syscall.ENOTDIR
	}
	return n, nil
}

// refer counts a reference that the kernel gets with an entry. With FS.mu.
func (b *bridge) refer(n *node, out *fuse.EntryOut) {
	n.lookups++
	b.fs.ids[n.id] = n
	out.NodeId = n.id
	b.fillAttr(&out.Attr, n)
	valid := b.fs.valid(n, time.Now())
	out.SetEntryTimeout(valid)
	out.SetAttrTimeout(valid)
}

// Forget implements fuse.RawFileSystem.
func (b *bridge) Forget(id, count uint64) {
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	n := b.fs.ids[id]
	if n == nil || n == b.fs.root {
		return
	}
	if n.lookups -= min(count, n.lookups); n.lookups == 0 {
		delete(b.fs.ids, id)
		b.fs.dropOrphan(n)
	}
}

func (b *bridge) fillAttr(a *fuse.Attr, n *node) { // with FS.mu
	a.Ino, a.Size, a.Mode, a.Nlink = n.id, uint64(n.size), n.mode|n.typeBits(), 1
	if n.parent == nil && n != b.fs.root {
		a.Nlink = 0
	}
	a.Blocks = uint64(n.size+511) / 512
	a.Blksize = cache.BlockSize
	a.Uid, a.Gid = contract.AgentUID, contract.AgentGID
	atime := n.atime
	if atime == 0 {
		atime = n.mtime
	}
	a.Atime, a.Atimensec = split(atime)
	a.Mtime, a.Mtimensec = split(n.mtime)
	a.Ctime, a.Ctimensec = split(n.ctime)
}

// split is a time as FUSE has it: seconds, of which those before 1970 wrap around, and
// nanoseconds.
func split(ns int64) (uint64, uint32) {
	s, rest := ns/1e9, ns%1e9
	if rest < 0 {
		s, rest = s-1, rest+1e9
	}
	return uint64(s), uint32(rest)
}

// nanoseconds is a time of FUSE's. Those that nanoseconds cannot count (before 1677, after 2262)
// become the nearest.
func nanoseconds(s uint64, ns uint32) int64 {
	const most = math.MaxInt64/1_000_000_000 - 1
	return min(max(int64(s), -most), most)*1_000_000_000 + int64(ns)
}

// Lookup implements fuse.RawFileSystem.
func (b *bridge) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	parent, err := b.dirNode(in.NodeId)
	if err != nil {
		return status(err)
	}
	if len(name) > maxName {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	r := newRequest(cancel)
	defer r.end()
	n, err := b.fs.resolve(r, parent, name)
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	if err == syscall.ENOENT {
		// The kernel may remember for a while that there is none.
		if b.fs.alive(parent) && b.fs.fresh(parent, b.fs.since()) {
			if left := time.Until(parent.dir.listed.Add(b.fs.ttl)); left > 0 {
				out.SetEntryTimeout(left)
				return fuse.OK
			}
		}
		return fuse.ENOENT
	}
	if err != nil {
		return status(err)
	}
	b.refer(n, out)
	return fuse.OK
}

// GetAttr implements fuse.RawFileSystem.
func (b *bridge) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	n := b.fs.ids[in.NodeId]
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	b.fillAttr(&out.Attr, n)
	out.SetTimeout(b.fs.valid(n, time.Now()))
	return fuse.OK
}

// SetAttr implements fuse.RawFileSystem.
func (b *bridge) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := b.node(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	var ch attrChange
	if mode, ok := in.GetMode(); ok {
		ch.mode = &mode
	}
	if uid, ok := in.GetUID(); ok {
		ch.uid = &uid
	}
	if gid, ok := in.GetGID(); ok {
		ch.gid = &gid
	}
	if size, ok := in.GetSize(); ok {
		s := int64(size)
		if s < 0 {
			return fuse.Status(syscall.EFBIG)
		}
		ch.size = &s
	}
	now := time.Now().UnixNano()
	if in.Valid&fuse.FATTR_MTIME != 0 {
		t := nanoseconds(in.Mtime, in.Mtimensec)
		if in.Valid&fuse.FATTR_MTIME_NOW != 0 {
			t = now
		}
		ch.mtime = &t
	}
	if in.Valid&fuse.FATTR_ATIME != 0 {
		t := nanoseconds(in.Atime, in.Atimensec)
		if in.Valid&fuse.FATTR_ATIME_NOW != 0 {
			t = now
		}
		ch.atime = &t
	}
	r := newRequest(cancel)
	defer r.end()
	if err := b.fs.setattr(r, n, ch); err != nil {
		return status(err)
	}
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	b.fillAttr(&out.Attr, n)
	out.SetTimeout(b.fs.valid(n, time.Now()))
	return fuse.OK
}

// Readlink implements fuse.RawFileSystem.
func (b *bridge) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n := b.node(in.NodeId)
	if n == nil || n.kind != pending.Symlink {
		return nil, fuse.EINVAL
	}
	return []byte(n.target), fuse.OK
}

// StatFs implements fuse.RawFileSystem. S3 has no size; numbers that programs can work with.
func (b *bridge) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = cache.BlockSize, 4096, maxName
	out.Blocks = 1 << 38 // 1 PiB of 4 KiB
	out.Bfree, out.Bavail = out.Blocks, out.Blocks
	out.Files, out.Ffree = 1<<32, 1<<32
	return fuse.OK
}
