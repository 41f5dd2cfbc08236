package hot

import (
	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
)

// event is one change that the kernel told.
func (o *observer) event(ev watch.Event) {
	o.worked = true
	if ev.Is(watch.Overflow) {
		o.overflow()
		return
	}
	d := o.dirs.ByWD(ev.WD)
	switch {
	case d == nil:
		return
	case ev.Is(watch.Ignored):
		o.dirs.Unwatch(ev.WD)
		return
	case ev.Is(watch.SelfGone):
		o.checkRoot()
		return
	case d.Gone() || ev.Name == "":
		return // it is read anew where it went
	}
	path, isDir := tree.Join(d.Path(), ev.Name), ev.Is(watch.IsDir)
	if path == ignore.FileName {
		o.newRules = true
	}
	excluded := tree.IsTemp(ev.Name) || o.h.rules.Load().MatchEntry(path, isDir)
	switch {
	case ev.Is(watch.MovedFrom):
		o.movedFrom(d, path, ev, excluded)
	case ev.Is(watch.MovedTo):
		o.movedTo(d, path, ev, excluded)
	case excluded:
		if !isDir {
			o.touchesDatabase(path) // what is left out may be the log of what is not
		}
	case ev.Is(watch.Delete):
		o.deleted = true
		if kid := d.Child(ev.Name); isDir && kid != nil {
			o.dirs.Cut(kid)
			o.drop(kid)
		}
		o.deletion(path)
	case isDir:
		// New, or its attributes are: one that could not be read may be readable now.
		if kid := d.Child(ev.Name); ev.Is(watch.Create) || kid == nil || !kid.Watched() {
			o.adopt(path)
		} else {
			o.directory(path)
		}
	default:
		o.written(path)
	}
}

// written looks at what an event says was written. What is gone already counts as written:
// its deletion has an event of its own, and what was written takes its place among the
// changes until then.
func (o *observer) written(path string) {
	i, err := o.lstat(path)
	switch {
	case isMissing(err) && o.touchesDatabase(path):
	case isMissing(err):
		o.p.wasWritten(path)
	case err != nil:
		o.look(path)
	case i.IsDir():
		// A directory has taken its place; that has an event too.
	default:
		o.present(path, i)
	}
}

// deletion looks at what an event says was deleted: something else may have its name by now.
func (o *observer) deletion(path string) {
	i, err := o.lstat(path)
	switch {
	case isMissing(err):
		if !o.touchesDatabase(path) {
			o.releaseMembers(path)
		}
		o.p.sawNothing(path, true)
		if dir, _ := tree.Split(path); dir != "" {
			o.emptied[dir] = true
		}
	case err != nil:
		o.look(path)
	case i.IsDir():
		o.adopt(path)
	default:
		o.present(path, i)
	}
}

// overflow: the kernel has thrown events away. What they were is found by a scan.
func (o *observer) overflow() {
	o.h.log.Warn("more changes than the kernel queues; the home is scanned", "event", "watch_overflow")
	o.blind = true
	o.scanSoon()
}

// move is the old name of a rename.
type move struct {
	path   string
	isDir  bool
	cookie uint32
	dir    *watch.Dir
	at     queue.Time
}

// pairWithin is how long after the old name of a rename its new one may still come. The kernel
// queues the second right after the first, but not in one step (inotify(7)).
const pairWithin = 20e6

// movedFrom keeps the old name until the new one was looked at: the deletion of the one comes
// after the writing of the other.
func (o *observer) movedFrom(d *watch.Dir, path string, ev watch.Event, excluded bool) {
	kid := d.Child(ev.Name)
	if kid != nil {
		o.dirs.Cut(kid)
	}
	if excluded {
		if kid != nil {
			o.drop(kid)
		}
		return // a path that is left out was never there
	}
	o.deleted = true
	o.moves = append(o.moves, &move{path: path, isDir: ev.Is(watch.IsDir), cookie: ev.Cookie, dir: kid, at: o.p.now()})
}

func (o *observer) movedTo(d *watch.Dir, path string, ev watch.Event, excluded bool) {
	var from *move
	for i, m := range o.moves {
		if m.cookie == ev.Cookie {
			from = m
			o.moves = append(o.moves[:i], o.moves[i+1:]...)
			break
		}
	}
	if old := d.Child(ev.Name); old != nil { // it was replaced
		o.dirs.Cut(old)
		o.drop(old)
	}
	switch {
	case excluded && from != nil:
		o.p.retain(from.path)
	case excluded:
	case ev.Is(watch.IsDir):
		o.adopt(path)
	default:
		o.written(path)
	}
	if from != nil {
		o.movedAway(from)
	}
}

// settleMoves gives up the old names whose new ones have not come: they were moved out of the
// home, or to where nothing is watched.
func (o *observer) settleMoves(now queue.Time) {
	var lone []*move
	for len(o.moves) > 0 && o.moves[0].at+pairWithin <= now {
		lone = append(lone, o.moves[0])
		o.moves = o.moves[1:]
	}
	if len(lone) == 0 {
		return
	}
	paths := make([]string, len(lone))
	for i, m := range lone {
		paths[i] = m.path
	}
	o.worked = true
	o.keepMoved(paths)
	for _, m := range lone {
		o.movedAway(m)
	}
}

// movedAway is the deletion of a rename's old name.
func (o *observer) movedAway(m *move) {
	if m.dir != nil {
		o.drop(m.dir) // what of it was not taken over by the new name
	}
	o.deletion(m.path)
}
