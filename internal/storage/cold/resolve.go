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
func (ls *listings) resolve(ctx context.Context, parent *node, name string) (*node, error) {
	since := ls.tree.since()
	for range 4 {
		ls.mu.Lock()
		if !ls.tree.alive(parent) || parent.dir == nil {
			ls.mu.Unlock()
			return nil, syscall.ENOENT
		}
		n := parent.dir.child(name)
		known := n != nil && (!n.seenAt().Before(since) || ls.changes.dirtyKeys[n.objectPath()] != nil) && !n.stale ||
			ls.tree.fresh(parent, since) || n == nil && ls.changes.removedHere(parent, name)
		single := parent.dir.large && parent.dir.singleLookups < singleMost
		ls.mu.Unlock()
		if known {
			if n == nil {
				return nil, syscall.ENOENT
			}
			return n, nil
		}
		var err error
		if single {
			err = ls.lookAt(ctx, parent, name)
		} else {
			err = ls.load(ctx, parent, since)
		}
		if err != nil {
			ls.mu.Lock()
			ok := ls.serveStale(parent, err)
			if n == nil || n.stale {
				n = parent.dir.child(name)
			}
			ls.mu.Unlock()
			switch {
			case !ok:
				return nil, err
			case n == nil:
				return nil, syscall.ENOENT
			}
			return n, nil
		}
		if single {
			ls.mu.Lock()
			n = parent.dir.child(name)
			ls.mu.Unlock()
			if n == nil {
				return nil, syscall.ENOENT
			}
			return n, nil
		}
	}
	return nil, syscall.EIO // it changes faster than it can be listed
}

// removedHere says that the name was removed here and S3 does not know yet.
func (ch *changes) removedHere(parent *node, name string) bool {
	if len(ch.dirtyKeys) == 0 {
		return false
	}
	path := join(parent.path(), name)
	return ch.beingDeleted(path) || ch.beingDeleted(path+"/")
}

// serveStale decides whether what was known of a directory goes on being used after an error. With mu.
func (ls *listings) serveStale(n *node, err error) bool {
	if !away(err) || !n.dir.complete {
		return false
	}
	n.dir.retry = time.Now().Add(stand)
	return true
}

// lookAt asks for one name: an object, or anything below it.
func (ls *listings) lookAt(ctx context.Context, parent *node, name string) error {
	ls.mu.Lock()
	parent.dir.singleLookups++
	path := join(parent.path(), name)
	ls.pass++
	l := &listing{in: ls, top: parent, pass: ls.pass, ops: ls.changes.ops, began: time.Now(), moves: ls.tree.moves}
	ls.changes.listings++
	ls.mu.Unlock()
	defer func() {
		ls.mu.Lock()
		ls.changes.listingEnded()
		ls.mu.Unlock()
	}()
	key, err := keyOf(path)
	if err != nil {
		return syscall.ENOENT
	}
	l.prefix = ls.prefix + key[:strings.LastIndexByte(key, '/')+1]
	ctx, cancel := context.WithTimeout(ctx, ls.patience)
	defer cancel()
	o, isDir, err := ls.ask(ctx, key)
	if err != nil {
		return err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.tree.alive(parent) || ls.changes.removedHere(parent, name) || ls.changes.gone[path] > l.ops || ls.changes.gone[path+"/"] > l.ops {
		return nil
	}
	old := parent.dir.child(name)
	switch {
	case isDir:
		l.directory(parent, name)
	case o.ETag != "":
		l.file(parent, name, &objectstore.Entry{Object: o})
		if n := parent.dir.child(name); n != nil && n.kind == pending.File && ls.changes.dirtyKeys[path] == nil {
			ls.contents.applyAttrs(n, o, nil)
		}
	case old != nil && old.touched <= l.ops && !ls.changes.pendingIn(old):
		ls.displace(old)
	}
	return nil
}

// ask finds out what a key is: an object, the name of a directory, or neither.
func (ls *listings) ask(ctx context.Context, key string) (o objectstore.Object, isDir bool, err error) {
	listed := make(chan error, 1)
	go func() {
		for e, err := range ls.store.List(ctx, objectstore.ListOptions{Prefix: ls.prefix + key + "/", MaxKeys: 1}) {
			isDir = err == nil && e.Key != ""
			listed <- err
			return
		}
		listed <- nil
	}()
	o, err = ls.store.Head(ctx, ls.prefix+key)
	if errors.Is(err, objectstore.ErrNotFound) {
		o, err = objectstore.Object{}, nil
	}
	return o, isDir, errors.Join(<-listed, err)
}
