package hot

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
)

// What the observer tells the line. Names are those of package line: a directory's
// marker ends in a slash.

// present notes what lstat says of a file, a link or something else that is no directory, and
// that has changed.
func (o *observer) present(path string, i tree.Info) {
	if !o.isMember(path) {
		o.presentAs(path, i, o.state(path, i), true)
	}
}

// presentAs notes a file in a state, which is what the journal would keep of it; anew says whether it is
// known to have changed, or only seen to differ.
func (o *observer) presentAs(path string, i tree.Info, state journal.Stat, anew bool) {
	e := o.e
	if !upload.Kept(i.Mode) {
		o.oddity(path, i)
		o.absent(path, true)
		return
	}
	known, ok := e.journal.Get(path)
	gone := e.journal.IsGone(path)
	_, sent := e.journal.Intent(path) // of which nobody knows whether it arrived
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.odd, path)
	delete(o.kept, path)
	o.filled(path)
	if ok && !known.IsMarker() && known.Local == state && !gone && !sent {
		e.same(path, true, true)
		return
	}
	o.makeRoom(path, ok && known.IsMarker())
	if gone {
		e.remember(e.journal.Ungone(path))
	}
	e.line.Write(path, i.Size, queue.Order{Exists: ok && !known.IsMarker(), Group: gitGroup(path), Anew: anew}, e.now())
}

// filled notes that something is in a directory: a marker that could not be stored may not be
// needed any more. With the lock held.
func (o *observer) filled(path string) {
	if o.e.line.StuckLen() == 0 {
		return
	}
	if dir, _ := tree.Split(path); dir != "" && o.e.line.Stuck(dir+"/") {
		_, ok := o.e.journal.Get(dir)
		o.e.line.Write(dir+"/", 0, queue.Order{Exists: ok, Anew: true}, o.e.now())
	}
}

// makeRoom notes that what stood where a file is now was deleted before: a directory with
// all that was in it, or a file in the place of a directory above. With the lock held.
func (o *observer) makeRoom(path string, marker bool) {
	e := o.e
	if _, pending := e.line.Has(path + "/"); pending || marker {
		o.goneLocked(path+"/", true)
	}
	for known := range e.journal.Below(path) {
		o.goneLocked(nameOf(known), true)
	}
	o.makeRoomAbove(path)
}

// makeRoomAbove is makeRoom for what has to be a directory now.
func (o *observer) makeRoomAbove(path string) {
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		if known, ok := o.e.journal.Get(dir); ok && !known.IsMarker() {
			o.goneLocked(dir, true)
		} else if kind, ok := o.e.line.Has(dir); ok && kind == queue.Write {
			o.goneLocked(dir, true)
		}
	}
}

// directory notes a directory that may need a marker; entries are in it, or not.
func (o *observer) directory(path string) {
	if path == "" {
		return
	}
	e := o.e
	known, ok := e.journal.Get(path)
	e.mu.Lock()
	defer e.mu.Unlock()
	o.filled(path)
	o.makeRoomAbove(path + "/")
	if ok && !known.IsMarker() {
		o.goneLocked(path, true)
		ok = false
	}
	if e.journal.IsGone(path) && ok {
		e.remember(e.journal.Ungone(path))
	}
	e.line.Write(path+"/", 0, queue.Order{Exists: ok, Anew: true}, e.now())
}

// absent notes that nothing is kept at path any more, nor below it. ordered: a deletion was
// observed, in its place among all changes.
func (o *observer) absent(path string, ordered bool) {
	e := o.e
	_, isEntry := e.journal.Get(path)
	below := false
	for range e.journal.Below(path) {
		below = true
		break
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for odd := range e.odd {
		if odd == path || isBelow(odd, path) {
			delete(e.odd, odd)
		}
	}
	if isEntry || below {
		if known, ok := e.journal.Get(path); ok {
			o.goneLocked(nameOf(known), ordered)
		}
		for known := range e.journal.Below(path) {
			o.goneLocked(nameOf(known), ordered)
		}
	}
	// What was pending and never reached S3.
	for _, name := range []string{path, path + "/"} {
		if kind, ok := e.line.Has(name); ok && kind == queue.Write {
			o.goneLocked(name, ordered)
		}
	}
	if e.line.Len() <= searchPending {
		for p := range e.line.Pending {
			if p.Kind == queue.Write && isBelow(p.Name, path) {
				o.vanished = append(o.vanished, p.Name)
			}
		}
		for _, name := range o.vanished {
			o.goneLocked(name, ordered)
		}
		o.vanished = o.vanished[:0]
	}
}

// searchPending bounds the search for what was pending below a directory that is gone. Beyond
// it the job of each of them finds out by itself.
const searchPending = 4096

func isBelow(name, dir string) bool {
	return len(name) > len(dir)+1 && name[len(dir)] == '/' && strings.HasPrefix(name, dir)
}

func nameOf(e journal.Entry) string {
	if e.IsMarker() {
		return e.Path + "/"
	}
	return e.Path
}

// goneLocked notes that one name is gone. S3 may hold it: by an entry, by a write that was sent
// and not answered, or by one that is being sent.
func (o *observer) goneLocked(name string, ordered bool) {
	e := o.e
	path := strings.TrimSuffix(name, "/")
	known, isEntry := e.journal.Get(path)
	isEntry = isEntry && nameOf(known) == name
	if isEntry && o.kept[path] {
		return // it was moved to where nothing is kept: its object stays
	}
	if isEntry && o.isForeign(path) {
		e.odd[path] = "its deletion is not saved: it was on another device than the home, which may just have been unmounted"
		return
	}
	in, sent := e.journal.Intent(path)
	sent = sent && strings.HasSuffix(in.Key, "/") == strings.HasSuffix(name, "/")
	if !isEntry && !sent && !e.line.Flying(name) {
		e.same(name, false, ordered)
		return
	}
	e.remember(e.journal.Gone(path))
	if isEntry {
		e.noteMoved(path)
	}
	e.line.Delete(name, ordered, e.now())
}

// isForeign tells whether a path is below a directory that was seen on another device: that
// something is missing there may mean that the device is.
func (o *observer) isForeign(path string) bool {
	if len(o.foreign) == 0 {
		return false
	}
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		if o.foreign[dir] {
			return true
		}
	}
	return false
}

// oddity names what cannot be kept, once.
func (o *observer) oddity(path string, i tree.Info) {
	kind := map[uint32]string{unix.S_IFSOCK: "a socket", unix.S_IFIFO: "a FIFO", unix.S_IFCHR: "a device", unix.S_IFBLK: "a device"}[i.Mode&unix.S_IFMT]
	o.nameOnce(path, kind+" has no content to keep")
}

// nameOnce says in the log, once, that a path is left out, and why.
func (o *observer) nameOnce(path, why string) {
	if o.named[path] {
		return
	}
	if len(o.named) < mostNamed {
		o.named[path] = true
	}
	o.e.Log.Info("left out", "event", "not_kept", "path", path, "reason", why)
}

// mostNamed bounds the memory for what was named already.
const mostNamed = 10_000

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
