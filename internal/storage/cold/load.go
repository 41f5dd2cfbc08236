package cold

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

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
