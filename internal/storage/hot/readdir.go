package hot

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
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
func (o *observer) readDirs(paths []string) (below []string) {
	rules := o.h.rules.Load()
	found := make([]dirRead, len(paths))
	if len(paths) == 1 {
		o.readDir(&found[0], paths[0], rules)
	} else {
		var all sync.WaitGroup
		next := make(chan int)
		for range min(readers, len(paths)) {
			all.Go(func() {
				for i := range next {
					o.readDir(&found[i], paths[i], rules)
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
		below = append(below, o.compare(&found[i])...)
		found[i] = dirRead{}
	}
	return below
}

// readDir watches a directory and then reads it, so that nothing that is made in it is missed.
// Several run at a time, while the observer waits and changes nothing.
func (o *observer) readDir(r *dirRead, path string, rules *ignore.Rules) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	r.path = path
	d, err := o.h.root.OpenDir(path)
	if err != nil {
		r.err = err
		return
	}
	defer d.Close()
	if r.info, r.err = d.Stat(); r.err != nil {
		return
	}
	if node := o.dirs.Find(path); o.watcher != nil && (o.blind || node == nil || !node.Watched()) {
		r.wd, r.watchErr = o.add(d.Fd(), path == "")
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
		} else if _, ok := sqlite.Base(e.Name); ok {
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
func (o *observer) compare(r *dirRead) (below []string) {
	if isMissing(r.err) {
		o.unseen(r.path)
		return nil // whoever saw it go says so
	}
	if r.err != nil {
		if o.isOthers(r) {
			o.nameOnce(r.path, "it belongs to another user, and may not be read")
		} else {
			o.unreadable(r.path, r.err)
		}
		return nil
	}
	if o.isMount(r) {
		return nil
	}
	o.readable(r.path)
	node := o.enter(r)
	if node == nil {
		return nil
	}
	for _, x := range r.odd {
		o.present(x.path, x.info)
	}
	for _, x := range r.excluded {
		o.excluded[x] = true
	}
	if r.path == "" {
		o.checkEmpty(r.entries)
	}
	changed, absent := o.h.journal.Differ(r.path, r.seen)
	for _, i := range changed {
		s := r.seen[i]
		o.presentAs(tree.Join(r.path, s.Name), tree.Info{Stat: s.Stat, Mode: s.Mode}, s.Stat, false)
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
			o.dirs.Cut(kid)
			o.drop(kid)
		}
	}
	o.infer(r, dirs, absent)
	if r.path != "" {
		o.marker(r)
	}
	return below
}

// isMount tells whether a directory that was read was mounted since the last scan began.
func (o *observer) isMount(r *dirRead) bool {
	if r.info.Dev == o.h.rootDev {
		return false
	}
	if o.h.remounted() {
		clear(o.excluded)
	}
	return o.h.rules.Load().Match(r.path, true)
}

// infer notes what is missing. Only in a directory that was read to its end, on the root's
// device: a mount that is gone, or one that came over it, deletes nothing.
func (o *observer) infer(r *dirRead, dirs map[string]bool, absent []string) {
	if r.info.Dev != o.h.rootDev {
		o.p.noteForeign(r.path)
		return
	}
	rules := o.h.rules.Load()
	note := func(name string, isDir bool) {
		path := tree.Join(r.path, name)
		if !rules.MatchEntry(path, isDir) && !o.p.isRetained(path) {
			o.missing[path] = struct{}{}
		}
	}
	for _, name := range absent {
		known, _ := o.h.journal.Get(tree.Join(r.path, name))
		note(name, known.IsMarker())
	}
	for _, name := range o.h.journal.Dirs(r.path) {
		if !dirs[name] {
			note(name, true)
		}
	}
}

// marker notes a directory whose marker is not what it should be, as far as a look tells.
func (o *observer) marker(r *dirRead) {
	known, ok := o.h.journal.Get(r.path)
	ok = ok && known.IsMarker()
	const perm = 0o1777
	mode, empty := r.info.Mode&perm, len(r.seen) == 0
	switch {
	case !empty && o.p.isStuck(r.path+"/"):
		o.directory(r.path) // its job finds out whether it is needed at all by now
	case ok && !o.h.journal.HasTombstone(r.path) && known.Mode&perm == mode && (!empty || known.Mtime == r.info.Mtime):
	case !ok && !empty && mode == 0o755:
	default:
		o.directory(r.path)
	}
}

// isOthers tells whether a directory that may not be read never was the sandbox user's: another
// user owns it (lost+found, on a volume) and S3 has nothing of it.
func (o *observer) isOthers(r *dirRead) bool {
	if r.path == "" || !errors.Is(r.err, fs.ErrPermission) || r.info.Ino == 0 || int(r.info.UID) == os.Geteuid() {
		return false
	}
	for range o.h.journal.Below(r.path) {
		return false
	}
	return true
}

// unreadable names a directory that cannot be read: nobody knows what of it is saved.
func (o *observer) unreadable(path string, err error) {
	o.unread[path] = true
	if o.p.unreadable(path, err.Error()) {
		o.h.log.Warn("a directory cannot be read; nothing in it is saved", "event", "unreadable", "path", path, "error", err)
	}
	if path == "" {
		o.p.hold(holdRoot, "the home cannot be read: "+err.Error())
	}
}

func (o *observer) readable(path string) {
	delete(o.unread, path)
	o.p.readable(path)
}
