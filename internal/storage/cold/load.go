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

// listings brings what S3 lists into the tree.
type listings struct {
	*core
	tree     *tree
	changes  *changes
	contents *contents
	index    *attrIndex

	pass       uint32 // of listings
	hiddenSaid bool
}

// load lists a directory, unless that is known since then or under way.
func (ls *listings) load(ctx context.Context, n *node, since time.Time) error {
	joined := false
	for {
		ls.mu.Lock()
		if !ls.tree.alive(n) {
			ls.mu.Unlock()
			return syscall.ENOENT
		}
		if ls.tree.fresh(n, since) {
			ls.mu.Unlock()
			return nil
		}
		if !joined {
			joined = true
			if wait := ls.joinWalk(n); wait != nil {
				ls.mu.Unlock()
				if err := wait(ctx); err != nil {
					return err
				}
				continue
			}
		}
		l := n.dir.listing
		if l == nil {
			var err error
			if l, err = ls.list(n, false); err != nil {
				ls.mu.Unlock()
				return err
			}
		}
		l.waiters++
		ls.mu.Unlock()
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
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	if l.waiters--; l.waiters == 0 {
		l.cancel(errAbandoned)
	}
	return context.Cause(ctx)
}

// errAbandoned ends a listing that has no waiter. One that comes while it ends has it made anew.
var errAbandoned = errors.New("nothing waits for the listing any more")

// loadTree lists a directory and all that is below it.
func (ls *listings) loadTree(ctx context.Context, n *node, since time.Time) error {
	for {
		ls.mu.Lock()
		if ls.tree.treeFresh(n, since) {
			ls.mu.Unlock()
			return nil
		}
		l := n.dir.listing
		if l == nil {
			var err error
			if l, err = ls.list(n, true); err != nil {
				ls.mu.Unlock()
				return err
			}
		}
		l.waiters++
		ls.mu.Unlock()
		if err := l.wait(ctx); err != nil {
			return err
		}
		if l.deep && !l.began.Before(since) && !errors.Is(l.err, errAbandoned) {
			return l.err
		}
	}
}

func (tr *tree) treeFresh(n *node, since time.Time) bool {
	if !tr.fresh(n, since) {
		return false
	}
	for c := range n.dir.children.all() {
		if c.isDir() && !tr.treeFresh(c, since) {
			return false
		}
	}
	return true
}

// list begins a listing. With mu.
func (ls *listings) list(n *node, deep bool) (*listing, error) {
	key, err := keyOf(n.path())
	if err != nil {
		return nil, err
	}
	if key != "" {
		key += "/"
	}
	ls.pass++
	l := &listing{
		in: ls, top: n, prefix: ls.prefix + key, pass: ls.pass, ops: ls.changes.ops,
		began: time.Now(), moves: ls.tree.moves, deep: deep, done: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(ls.ctx)
	n.dir.listing = l
	ls.changes.listings++
	if !ls.background(l.run) {
		ls.changes.listings--
		n.dir.listing = nil
		l.cancel(nil)
		return nil, ls.ctx.Err()
	}
	return l, nil
}

// run asks for pages until all is there. It first reads everything below the directory, which in
// one page brings a small tree as a whole, and turns to the directory alone when there is more.
func (l *listing) run() {
	ls := l.in
	defer l.cancel(nil)
	select {
	case <-ls.index.loaded: // else a listing would show links as files
	case <-l.ctx.Done():
	}
	ls.mu.Lock()
	w, begun := ls.begunBy(l)
	ls.mu.Unlock()
	err := errEnough
	if !begun {
		err = l.read(objectstore.ListOptions{Prefix: l.prefix}, func() bool { return l.deep || l.nested <= nestedMost })
	}
	if errors.Is(err, errEnough) {
		if !begun {
			ls.mu.Lock()
			w = &walk{cursor: l.rest(), passes: [2]uint32{l.pass}, began: l.began, cut: slices.Clone(l.stack), last: l.last}
			l.stack = l.stack[:0] // what the page cut through is not complete
			ls.mu.Unlock()
		}
		err = l.read(objectstore.ListOptions{Prefix: l.prefix, StartAfter: l.last, Delimiter: "/"}, nil)
		if err == nil {
			err = l.resolveDoubts()
		}
		if err == nil {
			ls.mu.Lock()
			ls.offerWalk(l, w)
			ls.mu.Unlock()
		}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if err == nil && ls.tree.alive(l.top) {
		l.leave(0)
		l.top.dir.large = l.direct > largeDir
		l.complete(l.top)
		l.top.checked = momentOf(l.began)
	}
	l.err = err
	l.top.dir.listing = nil
	close(l.done)
	ls.changes.listingEnded()
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
func (ch *changes) listingEnded() {
	if ch.listings--; ch.listings == 0 {
		clear(ch.gone)
	}
}

var errEnough = errors.New("enough")

// read takes the entries of one LIST. It stops with errEnough when more says so.
func (l *listing) read(o objectstore.ListOptions, more func() bool) error {
	ls := l.in
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(ls.patience, func() { cancel(errNoProgress) })
	defer watchdog.Stop()
	entries := make([]objectstore.Entry, 0, batch)
	flush := func() bool {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if !ls.tree.alive(l.top) {
			return false
		}
		for i := range entries {
			l.add(&entries[i])
		}
		entries = entries[:0]
		return true
	}
	for e, err := range ls.store.List(ctx, o) {
		if err != nil {
			return progressError(ctx, err)
		}
		watchdog.Reset(ls.patience)
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
