package cold

import (
	"context"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

const (
	// walkHits is how many subdirectories that were listed along with their parent have to be
	// opened before the rest of the tree is listed ahead of whoever seems to walk it.
	walkHits = 2

	// walkAhead is how many keys a walk is ahead at most, and walkIdle how long it waits
	// there for its walker.
	walkAhead = 8000
	walkIdle  = 5 * time.Second

	// walkWait is how many keys somebody lets go by who waits for one directory.
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
}

// offerWalk remembers how far a listing went into what is below its directory. With mu.
func (fs *FS) offerWalk(l *listing, cursor string) {
	if !fs.alive(l.top) || l.top.dir.walk != nil && l.top.dir.walk.running {
		return
	}
	l.top.dir.walk = &walk{top: l.top, prefix: l.prefix, cursor: cursor, passes: [2]uint32{l.pass}, changed: make(chan struct{})}
}

// walked notes that a directory was opened. With mu.
func (fs *FS) walked(n *node) {
	for a := n.parent; a != nil; a = a.parent {
		w := a.dir.walk
		if w == nil || n.pass != w.passes[0] && n.pass != w.passes[1] || !fs.fresh(n, fs.since()) {
			continue
		}
		w.hits++
		w.ahead = max(0, w.ahead-len(n.dir.children)-1)
		w.signal()
		return
	}
}

func (w *walk) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// joinWalk says how to wait for a directory that a walk is about to list; nil when none is. With mu.
func (fs *FS) joinWalk(n *node) func(context.Context) error {
	for a := n.parent; a != nil; a = a.parent {
		w := a.dir.walk
		if w == nil || w.hits < walkHits {
			continue
		}
		key, err := keyOf(n.path())
		if err != nil || fs.prefix+key+"/" <= w.cursor {
			continue
		}
		if !w.running {
			fs.startWalk(w)
		}
		return func(ctx context.Context) error { return fs.awaitWalk(ctx, w, n, fs.prefix+key+"/") }
	}
	return nil
}

// awaitWalk returns when the directory is listed, or the walk is past it, or too far from it.
func (fs *FS) awaitWalk(ctx context.Context, w *walk, n *node, prefix string) error {
	waited := 0
	for {
		fs.mu.Lock()
		over := fs.fresh(n, fs.since()) || !w.running || waited > walkWait ||
			w.cursor > prefix && !strings.HasPrefix(w.cursor, prefix)
		changed, was := w.changed, w.ahead
		fs.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		fs.mu.Lock()
		waited += max(0, w.ahead-was)
		fs.mu.Unlock()
	}
}

// startWalk goes on from the cursor. With mu.
func (fs *FS) startWalk(w *walk) {
	w.running, w.ahead = true, 0
	fs.pass++
	w.passes[1] = fs.pass
	l := &listing{
		fs: fs, top: w.top, prefix: w.prefix, pass: fs.pass, ops: fs.ops,
		began: time.Now(), moves: fs.moves, last: w.cursor,
	}
	fs.listings++
	fs.wg.Add(1)
	go func() {
		defer fs.wg.Done()
		_, err := l.read(objectstore.ListOptions{Prefix: w.prefix, StartAfter: w.cursor}, func() bool { return w.goOn(l) })
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if err == nil {
			l.leave(0)
			if w.top.dir.walk == w {
				w.top.dir.walk = nil // all of it is listed
			}
		}
		w.cursor, w.running = l.rest(), false
		w.signal()
		fs.listingEnded()
	}()
}

// goOn lets the walk go on while its walker keeps up with it.
func (w *walk) goOn(l *listing) bool {
	fs := l.fs
	fs.mu.Lock()
	w.cursor = l.last
	w.ahead += batch
	w.signal()
	idle := time.NewTimer(walkIdle)
	defer idle.Stop()
	for w.ahead > walkAhead {
		changed := w.changed
		fs.mu.Unlock()
		select {
		case <-changed:
		case <-idle.C:
			return false
		case <-fs.ctx.Done():
			return false
		}
		fs.mu.Lock()
	}
	fresh := time.Since(l.began) < fs.ttl/2
	fs.mu.Unlock()
	return fresh
}
