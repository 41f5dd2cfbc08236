package cold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// serveGet sends the content of a file, or of any key.
func (fs *FS) serveGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if key := q.Get("key"); key != "" {
		fs.getKey(w, r, key)
		return
	}
	path := q.Get("path")
	n, err := fs.find(r.Context(), path)
	var h *handle
	if err == nil {
		switch n.kind {
		case pending.Dir:
			err = syscall.EISDIR
		case pending.Symlink:
			err = syscall.ELOOP
		default:
			h, err = fs.open(r.Context(), n, false)
		}
	}
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	defer h.close()
	fs.mu.Lock()
	e := fs.describe(n)
	fs.mu.Unlock()
	header, err := json.Marshal(e)
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	// The first block before the header, so that what cannot be had is an error and no
	// content of zero bytes.
	size := h.c.file.Size()
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	b, err := h.readInto(r.Context(), buf[:], 0)
	if err != nil {
		refuse(w, "read", path, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set(contract.ColdEntryHeader, strconv.QuoteToASCII(string(header)))
	for off := int64(0); ; {
		keepAlive(w)
		if _, err := w.Write(b[:min(int64(len(b)), size-off)]); err != nil {
			return
		}
		if off += int64(len(b)); off >= size || len(b) == 0 {
			return
		}
		if b, err = h.readInto(r.Context(), buf[:], off); err != nil {
			return // too few bytes tell the client
		}
	}
}

// readInto reads as much as there is for a buffer.
func (h *handle) readInto(ctx context.Context, buf []byte, off int64) ([]byte, error) {
	p, direct, err := h.read(ctx, off, len(buf))
	if err != nil || direct != nil {
		return direct, err
	}
	defer p.Release()
	if p.N == 0 {
		return nil, nil
	}
	n, err := p.FD.ReadAt(buf[:p.N], off)
	if n == p.N {
		err = nil
	}
	return buf[:n], err
}

// getKey sends an object that need not be a file.
func (fs *FS) getKey(w http.ResponseWriter, r *http.Request, key string) {
	rd, err := fs.store.Get(r.Context(), fs.prefix+key, objectstore.GetOptions{})
	if err != nil {
		refuse(w, "read the key", key, err)
		return
	}
	defer rd.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(rd.Size, 10))
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	for {
		n, err := rd.Read(buf[:])
		keepAlive(w)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return // at the end, or before it: too few bytes tell the client
		}
	}
}

// servePut stores a file and answers when it is in S3.
func (fs *FS) servePut(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	path := strings.Trim(q.Get("path"), "/")
	mode, err := number(q.Get("mode"), 8, 0o644)
	var mtime int64
	if err == nil {
		mtime, err = number(q.Get("mtime"), 10, time.Now().UnixNano())
	}
	if err != nil || path == "" {
		refuse(w, "store", path, syscall.EINVAL)
		return
	}
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	parent, err := fs.findDir(r.Context(), dir)
	if err == nil {
		err = fs.checkName(parent, name, false)
	}
	var n *node
	if err == nil {
		n, err = fs.receive(r, parent, name, uint32(mode), mtime)
	}
	if err != nil {
		refuse(w, "store", path, err)
		return
	}
	unsaved := fs.syncBelow(r.Context(), path)
	fs.answerStored(w, path, unsaved, func() any {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		return fs.describe(n)
	})
}

// findDir walks to a directory, making what is missing of it: keys need no directories.
func (fs *FS) findDir(ctx context.Context, path string) (*node, error) {
	n := fs.root
	for c := range strings.SplitSeq(path, "/") {
		if c == "" {
			continue
		}
		next, err := fs.resolve(ctx, n, c)
		if err == syscall.ENOENT {
			next, err = fs.mkdir(ctx, n, c, 0o755)
			fs.mu.Lock()
			fs.notifyEntry(n, c)
			fs.mu.Unlock()
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
func (fs *FS) receive(r *http.Request, parent *node, name string, mode uint32, mtime int64) (*node, error) {
	data := newDataName()
	f, err := fs.cache.Create(data)
	if err != nil {
		return nil, err
	}
	if err := fs.copyBody(r, f); err != nil {
		f.Discard()
		return nil, err
	}
	if _, err := fs.resolve(r.Context(), parent, name); err != nil && err != syscall.ENOENT {
		f.Discard()
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.newNode(pending.File)
	n.mode, n.modeKnown, n.mtime, n.mtimeKnown = mode&permMask, true, mtime, true
	n.data, n.size, n.gen, n.dataGen = data, f.Size(), 1, 1
	n.changed(time.Now())
	n.checked = time.Now()
	if err := fs.install(parent, name, n); err != nil {
		f.Discard()
		return nil, err
	}
	f.Return()
	fs.notifyEntry(parent, name)
	return n, nil
}

// install puts a new file under a name, in place of a file that has it. With mu.
func (fs *FS) install(parent *node, name string, n *node) error {
	if !fs.alive(parent) {
		return syscall.ENOENT
	}
	old := parent.dir.child(name)
	if old != nil && old.isDir() {
		return syscall.EISDIR
	}
	t := fs.begin()
	base, path := version{}, join(parent.path(), name)
	if old != nil {
		if old.origin == "" {
			base = old.remote
		}
		fs.detach(old)
		t.undo(func() { fs.attach(parent, name, old) })
	}
	fs.attach(parent, name, n)
	t.undo(func() { fs.detach(n) })
	t.want(path, n, base)
	if err := t.commit(); err != nil {
		return err
	}
	if old != nil {
		fs.orphaned(old, path)
	}
	fs.touchDir(parent, time.Now())
	return nil
}

// copyBody writes a request's body into the cache.
func (fs *FS) copyBody(r *http.Request, f *cache.File) error {
	buf := blockBuffers.Get().(*[cache.BlockSize]byte)
	defer blockBuffers.Put(buf)
	off := int64(0)
	for {
		// Not io.ReadFull: its ErrUnexpectedEOF would make a body that broke off look whole.
		n, rerr := 0, error(nil)
		for n < len(buf) && rerr == nil {
			var m int
			m, rerr = r.Body.Read(buf[n:])
			n += m
		}
		for b := buf[:n]; len(b) > 0; {
			var m int
			err := fs.withSpace(r.Context(), nil, func() (err error) {
				m, err = f.WriteAt(b, off)
				return err
			})
			if err != nil {
				return err
			}
			b, off = b[m:], off+int64(m)
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return fmt.Errorf("the content broke off after %d bytes: %w", off, errors.Join(rerr, syscall.EIO))
		}
	}
}
