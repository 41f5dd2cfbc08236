package cold

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

const (
	// batch is how many entries of a listing are taken at a time, and so how long mu is held.
	batch = 256

	// nestedMost is how much of what is below a directory's subdirectories is read along with
	// it: most of a page, in which a small tree is there as a whole. That there is more has to
	// be seen before the next page is asked for, and so within a whole number of batches.
	nestedMost = 3*batch - 1

	// largeDir is from how many entries on a single name is asked for by itself, and singleMost
	// how often, before the directory is listed after all.
	largeDir   = 1000
	singleMost = 16

	// stand is how long what is known goes on being used after S3 did not answer.
	stand = 5 * time.Second
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

// load lists a directory, unless that is known since then or under way.
func (fs *FS) load(ctx context.Context, n *node, since time.Time) error {
	joined := false
	for {
		fs.mu.Lock()
		if !fs.alive(n) {
			fs.mu.Unlock()
			return syscall.ENOENT
		}
		if fs.fresh(n, since) {
			fs.mu.Unlock()
			return nil
		}
		if !joined {
			joined = true
			if wait := fs.joinWalk(n); wait != nil {
				fs.mu.Unlock()
				if err := wait(ctx); err != nil {
					return err
				}
				continue
			}
		}
		l := n.dir.listing
		if l == nil {
			var err error
			if l, err = fs.list(n, false); err != nil {
				fs.mu.Unlock()
				return err
			}
		}
		l.waiters++
		fs.mu.Unlock()
		if err := l.wait(ctx); err != nil {
			return err
		}
		if !l.began.Before(since) && !errors.Is(l.err, errAbandoned) {
			return l.err
		}
	}
}

// wait returns when the listing has ended, of which the caller is one of the waiters. When the last of them
// goes, nothing needs it any more, and it ends.
func (l *listing) wait(ctx context.Context) error {
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	}
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.waiters--; l.waiters == 0 {
		l.cancel(errAbandoned)
	}
	return context.Cause(ctx)
}

// errAbandoned ends a listing that has no waiter. One that comes while it ends has it made anew.
var errAbandoned = errors.New("nothing waits for the listing any more")

// loadTree lists a directory and all that is below it.
func (fs *FS) loadTree(ctx context.Context, n *node, since time.Time) error {
	for {
		fs.mu.Lock()
		if fs.treeFresh(n, since) {
			fs.mu.Unlock()
			return nil
		}
		l := n.dir.listing
		if l == nil {
			var err error
			if l, err = fs.list(n, true); err != nil {
				fs.mu.Unlock()
				return err
			}
		}
		l.waiters++
		fs.mu.Unlock()
		if err := l.wait(ctx); err != nil {
			return err
		}
		if l.deep && !l.began.Before(since) && !errors.Is(l.err, errAbandoned) {
			return l.err
		}
	}
}

func (fs *FS) treeFresh(n *node, since time.Time) bool {
	if !fs.fresh(n, since) {
		return false
	}
	for _, c := range n.dir.children {
		if c.isDir() && !fs.treeFresh(c, since) {
			return false
		}
	}
	return true
}

// list begins a listing. With mu.
func (fs *FS) list(n *node, deep bool) (*listing, error) {
	key, err := keyOf(n.path())
	if err != nil {
		return nil, err
	}
	if key != "" {
		key += "/"
	}
	fs.pass++
	l := &listing{
		fs: fs, top: n, prefix: fs.prefix + key, pass: fs.pass, ops: fs.ops,
		began: time.Now(), moves: fs.moves, deep: deep, done: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(fs.ctx)
	n.dir.listing = l
	fs.listings++
	if !fs.background(l.run) {
		fs.listings--
		n.dir.listing = nil
		l.cancel(nil)
		return nil, fs.ctx.Err()
	}
	return l, nil
}

// run asks for pages until all is there. It first reads everything below the directory, which in
// one page brings a small tree as a whole, and turns to the directory alone when there is more.
func (l *listing) run() {
	fs := l.fs
	defer l.cancel(nil)
	select {
	case <-fs.index.loaded: // else a listing would show links as files
	case <-l.ctx.Done():
	}
	fs.mu.Lock()
	w, begun := fs.begunBy(l)
	fs.mu.Unlock()
	err := errEnough
	if !begun {
		err = l.read(objectstore.ListOptions{Prefix: l.prefix}, func() bool { return l.deep || l.nested <= nestedMost })
	}
	if errors.Is(err, errEnough) {
		if !begun {
			fs.mu.Lock()
			w = &walk{cursor: l.rest(), passes: [2]uint32{l.pass}, began: l.began, cut: slices.Clone(l.stack), last: l.last}
			l.stack = l.stack[:0] // what the page cut through is not complete
			fs.mu.Unlock()
		}
		err = l.read(objectstore.ListOptions{Prefix: l.prefix, StartAfter: l.last, Delimiter: "/"}, nil)
		if err == nil {
			err = l.resolveDoubts()
		}
		if err == nil {
			fs.mu.Lock()
			fs.offerWalk(l, w)
			fs.mu.Unlock()
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err == nil && fs.alive(l.top) {
		l.leave(0)
		l.top.dir.large = l.direct > largeDir
		l.complete(l.top)
		l.top.checked = l.began
	}
	l.err = err
	l.top.dir.listing = nil
	close(l.done)
	fs.listingEnded()
}

// resolveDoubts looks into subdirectories until a key is found that is not being deleted.
func (l *listing) resolveDoubts() error {
	for _, prefix := range l.doubts {
		found := l.nested
		err := l.read(objectstore.ListOptions{Prefix: prefix}, func() bool { return l.nested == found })
		l.stack = l.stack[:0]
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

// rest is the key after which the directories are that are not complete yet.
func (l *listing) rest() string {
	if len(l.stack) > 0 {
		return l.stack[0].before
	}
	return l.last
}

// listingEnded forgets what only listings under way have to know. With mu.
func (fs *FS) listingEnded() {
	if fs.listings--; fs.listings == 0 {
		clear(fs.gone)
	}
}

var errEnough = errors.New("enough")

// read takes the entries of one LIST. It stops with errEnough when more says so.
func (l *listing) read(o objectstore.ListOptions, more func() bool) error {
	fs := l.fs
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(fs.patience, func() { cancel(errNoProgress) })
	defer watchdog.Stop()
	entries := make([]objectstore.Entry, 0, batch)
	flush := func() bool {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if !fs.alive(l.top) {
			return false
		}
		for i := range entries {
			l.add(&entries[i])
		}
		entries = entries[:0]
		return true
	}
	for e, err := range fs.store.List(ctx, o) {
		if err != nil {
			return progressError(ctx, err)
		}
		watchdog.Reset(fs.patience)
		if entries = append(entries, e); len(entries) < batch {
			continue
		}
		if !flush() {
			return syscall.ENOENT
		}
		if more != nil && !more() {
			return errEnough
		}
	}
	if !flush() {
		return syscall.ENOENT
	}
	return nil
}
