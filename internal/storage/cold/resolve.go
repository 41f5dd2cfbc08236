package cold

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// resolve finds a name in a directory, asking S3 when what is known is too old. ENOENT when there
// is none. The answer stands in the tree, but mu is not held: look again under it.
func (fs *FS) resolve(ctx context.Context, parent *node, name string) (*node, error) {
	since := fs.since()
	for range 4 {
		fs.mu.Lock()
		if !fs.alive(parent) || parent.dir == nil {
			fs.mu.Unlock()
			return nil, syscall.ENOENT
		}
		n := parent.dir.child(name)
		known := n != nil && (!n.seenAt().Before(since) || fs.dirtyKeys[n.objectPath()] != nil) && !n.stale ||
			fs.fresh(parent, since) || n == nil && fs.removedHere(parent, name)
		single := parent.dir.large && parent.dir.singleLookups < singleMost
		fs.mu.Unlock()
		if known {
			if n == nil {
				return nil, syscall.ENOENT
			}
			return n, nil
		}
		var err error
		if single {
			err = fs.lookAt(ctx, parent, name)
		} else {
			err = fs.load(ctx, parent, since)
		}
		if err != nil {
			fs.mu.Lock()
			ok := fs.serveStale(parent, err)
			if n == nil || n.stale {
				n = parent.dir.child(name)
			}
			fs.mu.Unlock()
			switch {
			case !ok:
				return nil, err
			case n == nil:
				return nil, syscall.ENOENT
			}
			return n, nil
		}
		if single {
			fs.mu.Lock()
			n = parent.dir.child(name)
			fs.mu.Unlock()
			if n == nil {
				return nil, syscall.ENOENT
			}
			return n, nil
		}
	}
	return nil, syscall.EIO // it changes faster than it can be listed
}

// removedHere says that the name was removed here and S3 does not know yet.
func (fs *FS) removedHere(parent *node, name string) bool {
	if len(fs.dirtyKeys) == 0 {
		return false
	}
	path := join(parent.path(), name)
	return fs.beingDeleted(path) || fs.beingDeleted(path+"/")
}

// serveStale decides whether what was known of a directory goes on being used after an error. With mu.
func (fs *FS) serveStale(n *node, err error) bool {
	if !away(err) || !n.dir.complete {
		return false
	}
	n.dir.retry = time.Now().Add(stand)
	return true
}

// lookAt asks for one name: an object, or anything below it.
func (fs *FS) lookAt(ctx context.Context, parent *node, name string) error {
	fs.mu.Lock()
	parent.dir.singleLookups++
	path := join(parent.path(), name)
	fs.pass++
	l := &listing{fs: fs, top: parent, pass: fs.pass, ops: fs.ops, began: time.Now(), moves: fs.moves}
	fs.listings++
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		fs.listingEnded()
		fs.mu.Unlock()
	}()
	key, err := keyOf(path)
	if err != nil {
		return syscall.ENOENT
	}
	l.prefix = fs.prefix + key[:strings.LastIndexByte(key, '/')+1]
	ctx, cancel := context.WithTimeout(ctx, fs.patience)
	defer cancel()
	o, isDir, err := fs.ask(ctx, key)
	if err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.alive(parent) || fs.removedHere(parent, name) || fs.gone[path] > l.ops || fs.gone[path+"/"] > l.ops {
		return nil
	}
	old := parent.dir.child(name)
	switch {
	case isDir:
		l.directory(parent, name)
	case o.ETag != "":
		l.file(parent, name, &objectstore.Entry{Object: o})
		if n := parent.dir.child(name); n != nil && n.kind == pending.File && fs.dirtyKeys[path] == nil {
			fs.applyAttrs(n, o, nil)
		}
	case old != nil && old.touched <= l.ops && !fs.pendingIn(old):
		fs.displace(old)
	}
	return nil
}

// ask finds out what a key is: an object, the name of a directory, or neither.
func (fs *FS) ask(ctx context.Context, key string) (o objectstore.Object, isDir bool, err error) {
	listed := make(chan error, 1)
	go func() {
		for e, err := range fs.store.List(ctx, objectstore.ListOptions{Prefix: fs.prefix + key + "/", MaxKeys: 1}) {
			isDir = err == nil && e.Key != ""
			listed <- err
			return
		}
		listed <- nil
	}()
	o, err = fs.store.Head(ctx, fs.prefix+key)
	if errors.Is(err, objectstore.ErrNotFound) {
		o, err = objectstore.Object{}, nil
	}
	return o, isDir, errors.Join(<-listed, err)
}
