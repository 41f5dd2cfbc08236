package hot

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
)

// walker looks at paths and reads directories, and notes what it sees as pending. It does
// so when the observer tells it to, in the observer's goroutine.
type walker struct {
	h       *home
	p       *pending
	watcher *watch.Watcher // nil: changes are found by scanning alone
	add     func(dir int, self bool) (watch.WD, error)
	dirs    *watch.Dirs
	share   int          // how many directories are watched at most
	room    atomic.Int64 // how many more may be, while directories are read

	scan    *scan // the one under way
	blind   bool  // something may have happened that was not observed
	limited bool  // not all directories are watched
	deleted bool  // a deletion was observed since the root was last seen with something in it

	excluded map[string]bool     // directories that are left out, and there
	named    map[string]bool     // what was said to be left out
	unread   map[string]bool     // directories that could not be read
	missing  map[string]struct{} // what a scan did not find, to be confirmed at its end

	at *tree.Dir // the directory that was looked into last, within one batch
}

func newWalker(h *home, p *pending) *walker {
	return &walker{
		h: h, p: p, dirs: watch.NewDirs(), share: watch.Share(), blind: true,
		excluded: map[string]bool{}, named: map[string]bool{}, unread: map[string]bool{}, missing: map[string]struct{}{},
	}
}

// settleMissing takes what was not found for deleted, unless something says otherwise: the root
// is not what it was, a file is where nothing is kept, or there by now.
func (w *walker) settleMissing(trouble bool) {
	missing := w.missing
	w.missing = map[string]struct{}{} // a directory that is there after all is read, and may miss others
	if trouble || len(missing) == 0 {
		return
	}
	paths := slices.Sorted(maps.Keys(missing))
	w.keepMoved(paths)
	for _, p := range paths {
		w.lookAt(p)
	}
}

// adopt reads a directory that is new, and all below it, before anything else is done: what
// is in it comes before the changes that follow in the queue.
func (w *walker) adopt(path string) {
	w.directory(path)
	for todo := []string{path}; len(todo) > 0; {
		n := min(scanPiece, len(todo))
		piece := todo[len(todo)-n:]
		todo = append(todo[:len(todo)-n:len(todo)-n], w.readDirs(piece)...)
	}
	if w.scan == nil {
		w.settleMissing(false)
	}
}

// enter gives a directory its place among the watches.
func (w *walker) enter(r *dirRead) *watch.Dir {
	node := w.dirs.Root()
	if r.path != "" {
		parent, name := tree.Split(r.path)
		above := w.dirs.Find(parent)
		if above == nil {
			return nil // it went away while it was read
		}
		node = w.dirs.Enter(above, name)
	}
	switch {
	case r.wd != 0:
		w.dirs.Watch(node, r.wd)
		w.unseen(r.path)
	case errors.Is(r.watchErr, watch.ErrLimit):
		w.limit()
	}
	return node
}

// unseen notes that in a directory things may have come and gone before it was watched. Where
// scans alone tell, each of them would note that anew before the one before is dealt with, and
// deletions would wait for as long as directories go.
func (w *walker) unseen(dir string) {
	if w.blind || w.limited || w.watcher == nil {
		return
	}
	w.p.unseen(dir)
}

// watch watches a directory that is open, unless that would be more than the sandbox's share. Several run at a time.
func (w *walker) watch(node *watch.Dir, fd int, self bool) (watch.WD, error) {
	if (node == nil || !node.Watched()) && w.room.Add(-1) < 0 {
		return 0, watch.ErrLimit
	}
	return w.add(fd, self)
}

// limit says that not all directories are watched.
func (w *walker) limit() {
	if w.limited {
		return
	}
	w.limited = true
	w.p.watchLimit()
	w.h.log.Warn("not all directories can be watched: changes are found by scanning; a sandbox takes a sixteenth of fs.inotify.max_user_watches, raise that on the host",
		"event", "watch_limit", "watched", w.dirs.Len(), "share", w.share)
}

// lookAt looks at a path of which it is not known what happened there.
func (w *walker) lookAt(path string) {
	if path == "" {
		return
	}
	i, err := w.h.root.Lstat(path)
	switch {
	case isMissing(err) && w.wasLeftOut(path):
		w.p.leaveOut(path) // a path that is left out is not deleted either
	case isMissing(err):
		w.touchesDatabase(path)
		w.p.sawNothing(path, false)
	case errors.Is(err, tree.ErrMounted):
		w.mounted(path)
	case err != nil:
		w.h.log.Warn("a path cannot be looked at", "event", "look_failed", "path", path, "error", err)
	case w.h.rules.Load().Match(path, i.IsDir()):
		w.p.leaveOut(path)
	case i.IsDir():
		w.adopt(path)
	default:
		w.present(path, i)
	}
}

// wasLeftOut tells whether the missing file of a path was left out.
func (w *walker) wasLeftOut(path string) bool {
	known, ok := w.h.journal.Get(path)
	return w.h.rules.Load().Match(path, !ok || known.IsMarker())
}

// lstat looks into the directory that the last event was in, too, without opening it again.
func (w *walker) lstat(path string) (tree.Info, error) {
	d, name, err := w.dirOf(path)
	if err != nil {
		return tree.Info{}, err
	}
	i, err := d.Lstat(name)
	if isMissing(err) {
		// The directory may have been moved since it was opened: then its name tells nothing.
		w.at.Close()
		w.at = nil
		return w.h.root.Lstat(path)
	}
	return i, err
}

// drop ends the watches of a directory that is no more.
func (w *walker) drop(d *watch.Dir) {
	for _, wd := range w.dirs.Drop(d) {
		w.watcher.Remove(wd)
	}
}
