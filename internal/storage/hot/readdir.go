package hot

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/threads"
)

// dirRead is what was found in one directory.
type dirRead struct {
	path     string
	info     tree.Info
	wd       watch.WD
	watchErr error
	err      error // it was not read to its end

	seen     []journal.Seen // files, links and directories that are kept
	odd      []oddEntry
	excluded []string // names of directories that are left out
	logs     []string // names that are left out, and may be logs of databases that are not
	entries  int      // of any kind
}

type oddEntry struct {
	path string
	info tree.Info
}

// readers is how many directories are read at a time.
const readers = 4

// readDirs reads directories, tells the queue what differs, and returns those that are in them.
func (w *walker) readDirs(paths []string) (below []string) {
	rules := w.h.rules.Load()
	found := make([]dirRead, len(paths))
	w.room.Store(int64(w.share - w.dirs.Len()))
	if len(paths) == 1 {
		w.readDir(&found[0], paths[0], rules)
	} else {
		var all sync.WaitGroup
		next := make(chan int)
		for range min(readers, len(paths)) {
			all.Go(func() {
				for i := range next {
					w.readDir(&found[i], paths[i], rules)
				}
			})
		}
		for i := range paths {
			next <- i
		}
		close(next)
		all.Wait()
	}
	for i := range found {
		below = append(below, w.compare(&found[i])...)
		found[i] = dirRead{}
	}
	return below
}

// readDir watches a directory and then reads it, so that nothing that is made in it is missed.
// Several run at a time, while the observer waits and changes nothing.
func (w *walker) readDir(r *dirRead, path string, rules *ignore.Rules) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	r.path = path
	d, err := w.h.root.OpenDir(path)
	if err != nil {
		r.err = err
		return
	}
	defer d.Close()
	if r.info, r.err = d.Stat(); r.err != nil {
		return
	}
	if node := w.dirs.Find(path); w.watcher != nil && (w.blind || node == nil || !node.Watched()) {
		r.wd, r.watchErr = w.watch(node, d.Fd(), path == "")
	}
	for e, err := range d.Entries() {
		if err != nil {
			r.err = err
			return
		}
		if tree.IsTemp(e.Name) {
			continue
		}
		r.entries++
		r.err = r.add(d, e, rules)
		if r.err != nil {
			return
		}
	}
	r.seen = gatherDatabases(d, r.seen, r.logs)
}

func (r *dirRead) add(d *tree.Dir, e tree.Entry, rules *ignore.Rules) error {
	path := tree.Join(r.path, e.Name)
	var i tree.Info
	isDir := e.IsDir()
	if !isDir {
		var err error
		if i, err = d.Lstat(e.Name); isMissing(err) {
			return nil // gone since it was listed
		} else if err != nil {
			return err
		}
		isDir = i.IsDir()
	}
	switch {
	case rules.MatchEntry(path, isDir):
		if isDir {
			r.excluded = append(r.excluded, path)
		} else if _, ok := sqlitefile.Base(e.Name); ok {
			r.logs = append(r.logs, e.Name)
		}
	case !isDir && !upload.Kept(i.Mode):
		r.odd = append(r.odd, oddEntry{path, i})
	default:
		r.seen = append(r.seen, journal.Seen{Name: e.Name, Stat: i.Stat, Dir: isDir, Mode: i.Mode})
	}
	return nil
}

// compare tells the queue in what a directory differs from the journal.
func (w *walker) compare(r *dirRead) (below []string) {
	if isMissing(r.err) {
		w.unseen(r.path)
		return nil // the look that saw it go has noted that
	}
	if errors.Is(r.err, tree.ErrMounted) {
		w.mounted(r.path)
		return nil
	}
	if r.err != nil {
		if w.isOthers(r) {
			w.nameOnce(r.path, "it belongs to another user, and may not be read")
		} else {
			w.unreadable(r.path, r.err)
		}
		return nil
	}
	if w.isMount(r) {
		return nil
	}
	w.readable(r.path)
	node := w.enter(r)
	if node == nil {
		return nil
	}
	for _, x := range r.odd {
		w.present(x.path, x.info)
	}
	for _, x := range r.excluded {
		w.excluded[x] = true
	}
	if r.path == "" {
		w.checkEmpty(r.entries)
	}
	changed, absent := w.h.journal.Differ(r.path, r.seen)
	for _, i := range changed {
		s := r.seen[i]
		w.presentAs(tree.Join(r.path, s.Name), tree.Info{Stat: s.Stat, Mode: s.Mode}, s.Stat, false)
	}
	dirs := map[string]bool{}
	for _, s := range r.seen {
		if s.Dir {
			dirs[s.Name] = true
			below = append(below, tree.Join(r.path, s.Name))
		}
	}
	for name, kid := range node.Kids {
		if !dirs[name] {
			w.dirs.Cut(kid)
			w.drop(kid)
		}
	}
	w.infer(r, dirs, absent)
	if r.path != "" {
		w.marker(r)
	}
	return below
}

// mounted takes note of a path at which, or above which, something is mounted, maybe since the last scan began.
// One that is not mounted any more was not read, and is read by another scan.
func (w *walker) mounted(path string) {
	if w.h.remounted() {
		clear(w.excluded)
	}
	if w.scan != nil && !w.h.rules.Load().Match(path, true) {
		w.scan.again = true
	}
	w.p.leaveOut(path)
}

// isMount tells whether a directory that was read was mounted since the last scan began, where the kernel does not tell
// one mount from another.
func (w *walker) isMount(r *dirRead) bool {
	if r.info.Dev == w.h.rootDev {
		return false
	}
	if w.h.remounted() {
		clear(w.excluded)
	}
	return w.h.rules.Load().Match(r.path, true)
}

// infer notes what is missing. Only in a directory that was read to its end, on the root's
// device: a mount that is gone, or one that came over it, deletes nothing.
func (w *walker) infer(r *dirRead, dirs map[string]bool, absent []string) {
	if r.info.Dev != w.h.rootDev {
		w.p.noteForeign(r.path)
		return
	}
	rules := w.h.rules.Load()
	note := func(name string, isDir bool) {
		path := tree.Join(r.path, name)
		if !rules.MatchEntry(path, isDir) && !w.p.isRetained(path) {
			w.missing[path] = struct{}{}
		}
	}
	for _, name := range absent {
		known, _ := w.h.journal.Get(tree.Join(r.path, name))
		note(name, known.IsMarker())
	}
	for _, name := range w.h.journal.Dirs(r.path) {
		if !dirs[name] {
			note(name, true)
		}
	}
}

// marker notes a directory whose marker is not what it should be, as far as a look tells.
func (w *walker) marker(r *dirRead) {
	known, ok := w.h.journal.Get(r.path)
	ok = ok && known.IsMarker()
	const perm = 0o1777
	mode, empty := r.info.Mode&perm, len(r.seen) == 0
	switch {
	case !empty && w.p.isStuck(r.path+"/"):
		w.directory(r.path) // its job finds out whether it is needed at all by now
	case ok && !w.h.journal.HasTombstone(r.path) && known.Mode&perm == mode && (!empty || known.Mtime == r.info.Mtime):
	case !ok && !empty && mode == 0o755:
	default:
		w.directory(r.path)
	}
}

// isOthers tells whether a directory that may not be read never was the sandbox user's: another
// user owns it (lost+found, on a volume) and S3 has nothing of it.
func (w *walker) isOthers(r *dirRead) bool {
	if r.path == "" || !errors.Is(r.err, fs.ErrPermission) || r.info.Ino == 0 || int(r.info.UID) == os.Geteuid() {
		return false
	}
	for range w.h.journal.Below(r.path) {
		return false
	}
	return true
}

// unreadable names a directory that cannot be read: it is not known which of its files are saved.
func (w *walker) unreadable(path string, err error) {
	w.unread[path] = true
	if w.p.unreadable(path, err.Error()) {
		w.h.log.Warn("a directory cannot be read; nothing in it is saved", "event", "unreadable", "path", path, "error", err)
	}
	if path == "" {
		w.p.hold(holdRoot, "the home cannot be read: "+err.Error())
	}
}

func (w *walker) readable(path string) {
	delete(w.unread, path)
	w.p.readable(path)
}
