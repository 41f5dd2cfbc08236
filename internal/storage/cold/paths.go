package cold

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// The operations of the tree by path, as the control socket needs them (package httpapi). A path is one
// below the root and stays there, and nothing follows a symbolic link.

// find walks to a path of the query. It does not follow links.
func (ns *names) find(ctx context.Context, path string) (*node, error) {
	n := ns.tree.root
	for c := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if c == "" {
			continue
		}
		if c == "." || c == ".." || len(c) > MaxName {
			return nil, syscall.EINVAL
		}
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		next, err := ns.listings.resolve(ctx, n, c)
		if err != nil {
			return nil, err
		}
		n = next
	}
	return n, nil
}

// describe is an entry as the control socket shows it. With mu.
func (ch *changes) describe(n *node) contract.ColdEntry {
	path := n.path()
	e := contract.ColdEntry{
		Path: shown(path), Kind: "file", Size: n.size,
		Mode: fmt.Sprintf("%04o", n.mode), Mtime: time.Unix(0, n.mtime).UTC(),
		Target: n.target, Pending: len(ch.dirtyKeys) > 0 && ch.dirtyKeys[n.objectPathOrEmpty()] != nil,
	}
	if !utf8.ValidString(path) {
		e.RawPath = []byte(path)
	}
	if !utf8.ValidString(n.target) {
		e.RawTarget = []byte(n.target)
	}
	switch n.kind {
	case pending.Dir:
		e.Kind = "dir"
	case pending.Symlink:
		e.Kind = "symlink"
	}
	return e
}

// shown is a path in JSON, which is UTF-8.
func shown(path string) string {
	if !utf8.ValidString(path) {
		if key, err := keyOf(path); err == nil {
			return key
		}
	}
	return path
}

// Keys lists the keys below the prefix, and says which of them cannot be files.
func (fs *FS) Keys(ctx context.Context, prefix string) iter.Seq2[contract.ColdKey, error] {
	return func(yield func(contract.ColdKey, error) bool) {
		for e, err := range fs.store.List(ctx, objectstore.ListOptions{Prefix: fs.prefix + prefix}) {
			if err != nil {
				yield(contract.ColdKey{}, err)
				return
			}
			key := e.Key[len(fs.prefix):]
			if !yield(contract.ColdKey{Key: key, Size: e.Size, Modified: e.LastModified, Hidden: whyHidden(key)}, nil) {
				return
			}
		}
	}
}

// whyHidden says why a key cannot be a file by itself; it may still be hidden by a directory
// of the same name.
func whyHidden(key string) string {
	for c := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		if _, ok := nameOf(c); !ok {
			return fmt.Sprintf("%q cannot be the name of a file", c)
		}
	}
	return ""
}

// SyncBelow is Flush for what is at or below a path; one that ends in "/" is a directory's marker
// alone.
func (fs *FS) SyncBelow(ctx context.Context, path string) []contract.Unsaved {
	fs.mu.Lock()
	fs.changes.hurryUp(1)
	fs.changes.retryNow()
	until := fs.changes.seq
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		fs.changes.hurryUp(-1)
		fs.mu.Unlock()
	}()
	return fs.writeback.await(ctx, func(s *dirtyKey) bool {
		return s.first <= until && !s.covered && (path == "" || s.path == path || !strings.HasSuffix(path, "/") && strings.HasPrefix(s.path, path+"/"))
	})
}

// Remove removes a file, or a directory, with all that is in it where recursive says so.
func (fs *FS) Remove(ctx context.Context, path string, recursive bool) error {
	n, err := fs.names.find(ctx, path)
	if err == nil && n == fs.tree.root {
		err = syscall.EINVAL
	}
	if err != nil {
		return err
	}
	return fs.names.removeTree(ctx, n, recursive)
}

// removeTree removes a file, or a directory with all that is in it.
func (ns *names) removeTree(ctx context.Context, n *node, recursive bool) error {
	if n.isDir() {
		if err := ns.listings.load(ctx, n, ns.tree.since()); err != nil {
			return err
		}
		ns.mu.Lock()
		f := Dir{in: ns.changes, node: n}
		f.readLocked()
		ns.mu.Unlock()
		if len(f.entries) > 0 && !recursive {
			return syscall.ENOTEMPTY
		}
		for _, c := range f.entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := ns.removeTree(ctx, c, true); err != nil {
				return err
			}
		}
	}
	ns.mu.Lock()
	parent, name := n.parent, n.name
	ns.mu.Unlock()
	if parent == nil {
		return nil // another request was faster
	}
	remove := ns.unlink
	if n.isDir() {
		remove = ns.rmdir
	}
	if err := remove(ctx, parent, name); err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	ns.mu.Lock()
	ns.tree.notifyEntry(parent, name)
	ns.mu.Unlock()
	return nil
}

// RemoveKey removes an object that need not be a file: what the tree cannot show.
func (fs *FS) RemoveKey(ctx context.Context, key string) error {
	o, err := fs.store.Head(ctx, fs.prefix+key)
	if err != nil {
		return err
	}
	fenced, release, err := fs.fence.Write(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := fs.store.Delete(fenced, fs.prefix+key, objectstore.Condition{IfMatch: o.ETag}); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.tree.expire(fs.tree.parentOf(key))
	return nil
}

// OpenPath opens a file for reading.
func (fs *FS) OpenPath(ctx context.Context, path string) (*Handle, error) {
	h, err := fs.openPath(ctx, path)
	if errors.Is(err, syscall.ESTALE) { // its object was replaced, or is a link: as the kernel, look again
		h, err = fs.openPath(ctx, path)
	}
	return h, err
}

func (fs *FS) openPath(ctx context.Context, path string) (*Handle, error) {
	n, err := fs.names.find(ctx, path)
	if err != nil {
		return nil, err
	}
	switch n.kind {
	case pending.Dir:
		return nil, syscall.EISDIR
	case pending.Symlink:
		return nil, syscall.ELOOP
	}
	return fs.files.open(ctx, n, false)
}

// Size is how long the content is.
func (h *Handle) Size() int64 { return h.c.file.Size() }

// Describe tells what is open; what S3 has not told of it yet is asked for.
func (h *Handle) Describe(ctx context.Context) (contract.ColdEntry, error) {
	if err := h.in.contents.fetchAttrs(ctx, h.node); err != nil {
		return contract.ColdEntry{}, err
	}
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	return h.in.changes.describe(h.node), nil
}

// ReadInto reads as much as there is for a buffer.
func (h *Handle) ReadInto(ctx context.Context, buf []byte, off int64) ([]byte, error) {
	p, direct, err := h.Read(ctx, off, len(buf))
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

// OpenKey opens an object that need not be a file.
func (fs *FS) OpenKey(ctx context.Context, key string) (*objectstore.Reader, error) {
	return fs.store.Get(ctx, fs.prefix+key, objectstore.GetOptions{})
}
