package cold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// servePut stores a file, a directory or a symbolic link, and answers when it is in S3, or with
// wait=0 when it is kept here.
func (fs *FS) servePut(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	path := strings.Trim(q.Get("path"), "/")
	n, err := fs.put(r, path)
	if err != nil {
		refuse(w, "store", path, err)
		return
	}
	var unsaved []contract.Unsaved
	if q.Get("wait") != "0" {
		own := path
		if n.isDir() {
			own += "/" // its marker, and not what else is below it
		}
		unsaved = fs.syncBelow(r.Context(), own)
		fs.mu.Lock()
		now := n.objectPathOrEmpty()
		fs.mu.Unlock()
		if len(unsaved) == 0 && now != "" && now != own { // somebody else wrote the key: ours has another name
			unsaved = fs.syncBelow(r.Context(), now)
		}
	}
	fs.answerStored(w, path, unsaved, func() any {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		return fs.describe(n)
	})
}

func (fs *FS) put(r *http.Request, path string) (*node, error) {
	q := r.URL.Query()
	mode, err := number(q.Get("mode"), 8, -1)
	if err != nil || path == "" {
		return nil, syscall.EINVAL
	}
	mtime, err := number(q.Get("mtime"), 10, time.Now().UnixNano())
	if err != nil {
		return nil, syscall.EINVAL
	}
	if q.Get("kind") == "dir" {
		return fs.putDir(r.Context(), path, mode)
	}
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	parent, err := fs.findDir(r.Context(), dir)
	if err == nil {
		err = fs.checkName(parent, name, false)
	}
	if err != nil {
		return nil, err
	}
	switch q.Get("kind") {
	case "", "file":
		if mode < 0 {
			mode = 0o644
		}
		return fs.receive(r, parent, name, uint32(mode), mtime)
	case "symlink":
		return fs.putLink(r.Context(), parent, name, q.Get("target"), mtime)
	}
	return nil, syscall.EINVAL
}

// putDir makes a directory, and gives it or the one that is there a mode.
func (fs *FS) putDir(ctx context.Context, path string, mode int64) (*node, error) {
	n, err := fs.findDir(ctx, path)
	if err != nil || mode < 0 || n == fs.root {
		return n, err
	}
	if err := fs.fetchAttrs(ctx, n); err != nil {
		return nil, err
	}
	fs.mu.Lock()
	same := n.mode == uint32(mode)&permMask
	fs.mu.Unlock()
	if same {
		return n, nil
	}
	m := uint32(mode)
	return n, fs.setattr(ctx, n, AttrChange{Mode: &m})
}

// putLink puts a symbolic link under a name, in place of a file or link that has it.
func (fs *FS) putLink(ctx context.Context, parent *node, name, target string, mtime int64) (*node, error) {
	if target == "" {
		return nil, syscall.EINVAL
	}
	if len(target) > maxTarget {
		return nil, syscall.ENAMETOOLONG
	}
	if _, err := fs.resolve(ctx, parent, name); err != nil && err != syscall.ENOENT {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.newNode(pending.Symlink)
	n.mode, n.modeKnown, n.mtime, n.mtimeKnown = 0o777, true, mtime, true
	n.target, n.size = target, int64(len(target))
	n.changed(time.Now())
	n.checked = time.Now()
	if err := fs.install(parent, name, n); err != nil {
		return nil, err
	}
	fs.notifyEntry(parent, name)
	return n, nil
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
			if next, err = fs.mkdir(ctx, n, c, 0o755); err == syscall.EEXIST { // somebody else was faster
				next, err = fs.resolve(ctx, n, c)
			}
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
