package fusefs

import (
	"context"
	"math"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

// bridge speaks FUSE for a tree: one for each mount. What it does not implement the kernel is told
// once, and does by itself (locks, SEEK_HOLE) or refuses (extended attributes, fallocate).
type bridge struct {
	fuse.RawFileSystem
	tree   *cold.FS
	server *fuse.Server

	mu      sync.Mutex
	nextFH  uint64
	files   map[uint64]*cold.Handle
	folders map[uint64]*cold.Dir
}

var _ fuse.RawFileSystem = (*bridge)(nil)

var _ cold.Front = (*bridge)(nil)

func newBridge(tree *cold.FS) *bridge {
	return &bridge{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), tree: tree,
		files: map[uint64]*cold.Handle{}, folders: map[uint64]*cold.Dir{},
	}
}

// EntryChanged implements cold.Front. The kernel is told in the background, since it may be waiting for a
// request of the same directory.
func (b *bridge) EntryChanged(dir cold.ID, name string) { go b.server.EntryNotify(dir, name) }

func (b *bridge) String() string { return "cold" }

// grace is how long a request goes on after its program got a signal: programs do not expect
// EINTR of a file, and most signals do not mean that the program has stopped waiting.
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
		return cold.ErrInterrupted
	default:
		return nil
	}
}

func status(err error) fuse.Status { return fuse.Status(cold.Errno(err)) }

// fill gives the kernel an entry, and how long it may be believed.
func fill(out *fuse.EntryOut, a cold.Attr) {
	out.NodeId = a.ID
	fillAttr(&out.Attr, a)
	out.SetEntryTimeout(a.Valid)
	out.SetAttrTimeout(a.Valid)
}

func fillAttr(out *fuse.Attr, a cold.Attr) {
	out.Ino, out.Size, out.Mode, out.Nlink = a.Ino, uint64(a.Size), a.Mode, a.Nlink
	out.Blocks = uint64(a.Size+511) / 512
	out.Blksize = cache.BlockSize
	out.Uid, out.Gid = contract.AgentUID, contract.AgentGID
	out.Atime, out.Atimensec = split(a.Atime)
	out.Mtime, out.Mtimensec = split(a.Mtime)
	out.Ctime, out.Ctimensec = split(a.Ctime)
}

// Forget implements fuse.RawFileSystem.
func (b *bridge) Forget(id, count uint64) { b.tree.Forget(id, count) }

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
	r := newRequest(cancel)
	defer r.end()
	a, err := b.tree.Lookup(r, in.NodeId, name)
	switch {
	case err != nil:
		return status(err)
	case a.ID == 0: // the kernel may remember for a while that there is none
		out.SetEntryTimeout(a.Valid)
	default:
		fill(out, a)
	}
	return fuse.OK
}

// GetAttr implements fuse.RawFileSystem.
func (b *bridge) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return answerAttr(out)(b.tree.Stat(in.NodeId))
}

func answerAttr(out *fuse.AttrOut) func(cold.Attr, error) fuse.Status {
	return func(a cold.Attr, err error) fuse.Status {
		if err != nil {
			return status(err)
		}
		fillAttr(&out.Attr, a)
		out.SetTimeout(a.Valid)
		return fuse.OK
	}
}

// SetAttr implements fuse.RawFileSystem.
func (b *bridge) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	var ch cold.AttrChange
	if mode, ok := in.GetMode(); ok {
		ch.Mode = &mode
	}
	if uid, ok := in.GetUID(); ok {
		ch.UID = &uid
	}
	if gid, ok := in.GetGID(); ok {
		ch.GID = &gid
	}
	if size, ok := in.GetSize(); ok {
		s := int64(size)
		if s < 0 {
			return fuse.Status(syscall.EFBIG)
		}
		ch.Size = &s
	}
	now := time.Now().UnixNano()
	if in.Valid&fuse.FATTR_MTIME != 0 {
		t := nanoseconds(in.Mtime, in.Mtimensec)
		if in.Valid&fuse.FATTR_MTIME_NOW != 0 {
			t = now
		}
		ch.Mtime = &t
	}
	if in.Valid&fuse.FATTR_ATIME != 0 {
		t := nanoseconds(in.Atime, in.Atimensec)
		if in.Valid&fuse.FATTR_ATIME_NOW != 0 {
			t = now
		}
		ch.Atime = &t
	}
	r := newRequest(cancel)
	defer r.end()
	return answerAttr(out)(b.tree.SetAttr(r, in.NodeId, ch))
}

// Readlink implements fuse.RawFileSystem.
func (b *bridge) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	target, err := b.tree.Readlink(in.NodeId)
	return []byte(target), status(err)
}

// StatFs implements fuse.RawFileSystem. S3 has no size; numbers that programs can work with.
func (b *bridge) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = cache.BlockSize, 4096, cold.MaxName
	out.Blocks = 1 << 38 // 1 PiB of 4 KiB
	out.Bfree, out.Bavail = out.Blocks, out.Blocks
	out.Files, out.Ffree = 1<<32, 1<<32
	return fuse.OK
}
