package cold

import (
	"context"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

const (
	// walkHits is how many subdirectories that were listed along with their parent have to be
	// opened before the rest of the tree is listed ahead of the program that seems to walk it.
	walkHits = 2

	// walkAhead is how many keys a walk is ahead at most, and walkIdle how long it waits
	// there for its walker.
	walkAhead = 8000
	walkIdle  = 5 * time.Second

	// walkWait is how many keys a request that waits for one directory lets go by.
	walkWait = 4000
)

// walk lists a tree in the order of its keys, ahead of a program that goes through it: one
// request for 1,000 keys instead of one for each directory.
type walk struct {
	top     *node
	prefix  string
	cursor  string // what is after it is not listed yet
	passes  [2]uint32
	hits    int
	ahead   int // keys that came since the walker was last seen
	running bool
	changed chan struct{} // closed when keys came, or it ended

	began time.Time // of the listing that read what is before the cursor
	cut   []frame   // the directories that this listing was in when it had read enough
	last  string    // and its last key
}

// begunBy finds out that a listing of a directory further up has read the beginning of this one, and
// that there is more of it than is worth reading along. With mu.
func (ls *listings) begunBy(l *listing) (*walk, bool) {
	for a := l.top.parent; a != nil && !l.deep; a = a.parent {
		w := a.dir.walk
		if w == nil || time.Since(w.began) > ls.ttl/2 {
			continue
		}
		for i, f := range w.cut {
			if f.node != l.top {
				continue
			}
			cursor := w.last
			if i+1 < len(w.cut) {
				cursor = w.cut[i+1].before
			}
			// Else hardly any of it was read, or it was renamed since.
			return &walk{cursor: cursor, passes: w.passes, began: w.began, cut: w.cut, last: w.last}, strings.HasPrefix(cursor, l.prefix)
		}
	}
	return nil, false
}

// offerWalk remembers how far what is below a listing's directory was read. With mu.
func (ls *listings) offerWalk(l *listing, w *walk) {
	if !ls.tree.alive(l.top) || l.top.dir.walk != nil && l.top.dir.walk.running {
		return
	}
	w.top, w.prefix, w.changed = l.top, l.prefix, make(chan struct{})
	l.top.dir.walk = w
}

// walked notes that a directory was opened. With mu.
func (ls *listings) walked(n *node) {
	for a := n.parent; a != nil; a = a.parent {
		w := a.dir.walk
		if w == nil || n.pass != w.passes[0] && n.pass != w.passes[1] || !ls.tree.fresh(n, ls.tree.since()) {
			continue
		}
		w.hits++
		w.ahead = max(0, w.ahead-n.dir.children.len()-1)
		w.signal()
		return
	}
}

func (w *walk) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// joinWalk says how to wait for a directory that a walk is about to list; nil when none is. With mu.
func (ls *listings) joinWalk(n *node) func(context.Context) error {
	for a := n.parent; a != nil; a = a.parent {
		w := a.dir.walk
		if w == nil || w.hits < walkHits {
			continue
		}
		key, err := keyOf(n.path())
		if err != nil {
			continue
		}
		if p := ls.prefix + key + "/"; p <= w.cursor && !(w.running && strings.HasPrefix(w.cursor, p)) {
			continue
		}
		if !w.running {
			ls.startWalk(w)
		}
		return func(ctx context.Context) error { return ls.awaitWalk(ctx, w, n, ls.prefix+key+"/") }
	}
	return nil
}

// awaitWalk returns when the directory is listed, or the walk is past it, or too far from it.
func (ls *listings) awaitWalk(ctx context.Context, w *walk, n *node, prefix string) error {
	waited := 0
	for {
		ls.mu.Lock()
		over := ls.tree.fresh(n, ls.tree.since()) || !w.running || waited > walkWait ||
			w.cursor > prefix && !strings.HasPrefix(w.cursor, prefix)
		changed, was := w.changed, w.ahead
		ls.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		ls.mu.Lock()
		waited += max(0, w.ahead-was)
		ls.mu.Unlock()
	}
}

// startWalk goes on from the cursor. With mu.
func (ls *listings) startWalk(w *walk) {
	w.running, w.ahead = true, 0
	ls.pass++
	w.passes[1] = ls.pass
	l := &listing{
		in: ls, top: w.top, prefix: w.prefix, pass: ls.pass, ops: ls.changes.ops,
		began: time.Now(), moves: ls.tree.moves, last: w.cursor, ctx: ls.ctx,
	}
	ls.changes.listings++
	ls.background(func() {
		err := l.read(objectstore.ListOptions{Prefix: w.prefix, StartAfter: w.cursor}, func() bool { return w.goOn(l) })
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if err == nil {
			l.leave(0)
			if w.top.dir.walk == w {
				w.top.dir.walk = nil // all of it is listed
			}
		}
		w.cursor, w.running = l.rest(), false
		w.signal()
		ls.changes.listingEnded()
	})
}

// goOn lets the walk go on while its walker keeps up with it.
func (w *walk) goOn(l *listing) bool {
	ls := l.in
	ls.mu.Lock()
	w.cursor = l.last
	w.ahead += batch
	w.signal()
	idle := time.NewTimer(walkIdle)
	defer idle.Stop()
	for w.ahead > walkAhead {
		changed := w.changed
		ls.mu.Unlock()
		select {
		case <-changed:
		case <-idle.C:
			return false
		case <-ls.ctx.Done():
			return false
		}
		ls.mu.Lock()
	}
	fresh := time.Since(l.began) < ls.ttl/2
	ls.mu.Unlock()
	return fresh
}
