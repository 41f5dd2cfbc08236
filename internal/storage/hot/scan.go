package hot

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
)

// scan is one look at the whole tree, a piece of it a turn, so that events are taken meanwhile.
type scan struct {
	todo     []string
	began    queue.Time
	again    bool      // events were lost since it began: another one has to follow
	barriers []barrier // kept by this one
	next     []barrier // asked for since it began
	trouble  bool      // the root is not what it was: nothing is inferred from it
}

const (
	// scanEvery is the time between scans while events tell what changes.
	scanEvery = time.Minute

	// Where they do not, a scan follows the one before after a multiple of the time that one
	// took: a tenth of one processor at most.
	scanLeast = time.Second
	scanShare = 10

	// scanPiece is how many directories are read in one turn.
	scanPiece = 256
)

// step does a piece of the scan that is under way or due.
func (o *observer) step(ctx context.Context, now queue.Time) {
	if o.scan == nil {
		if now < o.nextScan {
			return
		}
		o.beginScan(now, nil)
	}
	o.worked = true
	s := o.scan
	n := min(scanPiece, len(s.todo))
	piece := s.todo[len(s.todo)-n:]
	s.todo = s.todo[:len(s.todo)-n]
	s.todo = append(s.todo, o.readDirs(piece)...)
	if len(s.todo) == 0 && ctx.Err() == nil {
		o.endScan()
	}
}

func (o *observer) beginScan(now queue.Time, barriers []barrier) {
	if o.h.remounted() {
		clear(o.excluded)
	}
	o.scan = &scan{todo: []string{""}, began: now, barriers: barriers}
	if o.checkRoot() {
		o.scan.trouble = true
	}
}

// scanFor keeps a barrier by a scan that begins after it was asked for.
func (o *observer) scanFor(b barrier) {
	if o.scan != nil {
		o.scan.next = append(o.scan.next, b)
		return
	}
	o.beginScan(o.p.now(), []barrier{b})
}

func (o *observer) endScan() {
	s := o.scan
	o.scan = nil
	s.trouble = o.checkRoot() || s.trouble
	o.settleMissing(s.trouble)
	o.settleUnread(s.trouble)
	o.settleStuck(s.trouble)
	now := o.p.now()
	o.p.scanned()
	if (o.blind || o.limited || o.watcher == nil) && !s.again {
		o.p.observedUpTo(s.began)
	}
	if !s.again {
		o.blind = false
	}
	o.nextScan = now + scanEvery
	if o.limited || o.watcher == nil {
		o.nextScan = now + min(max(scanLeast, scanShare*(now-s.began)), scanEvery)
	}
	for _, b := range s.barriers {
		close(b.done)
	}
	if s.again || len(s.next) > 0 {
		o.beginScan(now, s.next)
	}
	o.p.wake()
}

// checkRoot holds deletions back while the configured path is not the directory that was
// hydrated.
func (o *observer) checkRoot() (trouble bool) {
	replaced, err := o.h.root.Replaced()
	reason := ""
	switch {
	case err != nil:
		reason = "the home cannot be read: " + err.Error()
	case replaced:
		reason = o.h.root.Name() + " is not the directory that was hydrated any more: it was moved, mounted over or made anew"
	}
	o.p.hold(holdRoot, reason)
	return reason != ""
}

// settleUnread forgets the directories that could not be read and are gone: their deletion may
// have been one of the events that were lost, and nothing else tells of it.
func (o *observer) settleUnread(trouble bool) {
	for path := range o.unread {
		if _, err := o.h.root.Lstat(path); !trouble && isMissing(err) {
			delete(o.unread, path)
			o.p.sawNothing(path, false)
		}
	}
}

// settleStuck forgets what could not be stored and is gone, or left out by now. S3 and the
// journal know nothing of it, so that no comparison tells.
func (o *observer) settleStuck(trouble bool) {
	if trouble {
		return
	}
	for _, name := range o.p.stuck(mostListed) {
		path, isDir := strings.CutSuffix(name, "/")
		switch _, err := o.h.root.Lstat(path); {
		case isMissing(err):
			o.p.sawNothing(path, false)
		case o.h.rules.Load().Match(path, isDir):
			o.p.leaveOut(path)
		}
	}
}

// settleMissing takes what was not found for deleted, unless something says otherwise: the root
// is not what it was, a file is where nothing is kept, or there by now.
func (o *observer) settleMissing(trouble bool) {
	missing := o.missing
	o.missing = map[string]struct{}{} // a directory that is there after all is read, and may miss others
	if trouble || len(missing) == 0 {
		return
	}
	paths := slices.Sorted(maps.Keys(missing))
	o.keepMoved(paths)
	for _, p := range paths {
		o.lookAt(p)
	}
}

// adopt reads a directory that is new, and all below it, before anything else is done: what
// is in it comes before the changes that follow in the queue.
func (o *observer) adopt(path string) {
	o.directory(path)
	for todo := []string{path}; len(todo) > 0; {
		n := min(scanPiece, len(todo))
		piece := todo[len(todo)-n:]
		todo = append(todo[:len(todo)-n:len(todo)-n], o.readDirs(piece)...)
	}
	if o.scan == nil {
		o.settleMissing(false)
	}
}

// enter gives a directory its place among the watches.
func (o *observer) enter(r *dirRead) *watch.Dir {
	node := o.dirs.Root()
	if r.path != "" {
		parent, name := tree.Split(r.path)
		above := o.dirs.Find(parent)
		if above == nil {
			return nil // it went away while it was read
		}
		node = o.dirs.Enter(above, name)
	}
	switch {
	case r.wd != 0:
		o.dirs.Watch(node, r.wd)
		o.unseen(r.path)
	case errors.Is(r.watchErr, watch.ErrLimit):
		o.limit()
	}
	return node
}

// unseen notes that in a directory things may have come and gone before it was watched. Where
// scans alone tell, each of them would note that anew before the one before is dealt with, and
// deletions would wait for as long as directories go.
func (o *observer) unseen(dir string) {
	if o.blind || o.limited || o.watcher == nil {
		return
	}
	o.p.unseen(dir)
}

// limit says that not all directories are watched.
func (o *observer) limit() {
	if o.limited {
		return
	}
	o.limited = true
	o.p.watchLimit()
	o.h.log.Warn("not all directories can be watched: changes are found by scanning; raise fs.inotify.max_user_watches on the host",
		"event", "watch_limit", "watched", o.dirs.Len())
}
