package hot

import (
	"strings"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// What was seen on the disk is looked up here, decided (decide.go) and carried out. Names are those
// of package queue: a directory's marker ends in a slash.

// lookupLocked is what is known of a name, of which a file was seen in this state.
func (p *pending) lookupLocked(name string, state journal.Stat) known {
	path, isDir := strings.CutSuffix(name, "/")
	e, ok := p.home.journal.Get(path)
	in, sent := p.home.journal.Intent(path)
	stored := ok && e.IsMarker() == isDir
	_, twin := p.home.journal.Twins().Get(name)
	return known{
		stored:     stored,
		other:      ok && !stored,
		current:    stored && e.Local == state,
		tombstone:  p.home.journal.HasTombstone(path),
		deleting:   in.Deletes,
		unresolved: sent && strings.HasSuffix(in.Key, "/") == isDir,
		flying:     p.queue.Flying(name),
		twin:       twin,
		retained:   p.retained[path],
		foreign:    p.isForeignLocked(path),
	}
}

// isForeignLocked tells whether a path is below a directory that was seen on another device: that
// something is missing there may mean that the device is.
func (p *pending) isForeignLocked(path string) bool {
	if len(p.foreign) == 0 {
		return false
	}
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		if p.foreign[dir] {
			return true
		}
	}
	return false
}

// sawFile notes a file or a link in a state, which is what the journal would keep of it; anew says
// whether it is known to have changed, or only seen to differ.
func (p *pending) sawFile(path string, size int64, state journal.Stat, anew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsupported.drop(path)
	delete(p.retained, path)
	p.filledLocked(path)
	k := p.lookupLocked(path, state)
	_, k.unresolved = p.home.journal.Intent(path) // of the file or of a directory: S3 may hold either
	if decide(k, seenFile) == agree {
		p.agreeLocked(path, true, true)
		return
	}
	p.makeRoomLocked(path)
	if k.tombstone && !k.other { // else it is of the directory that was there
		p.home.remember(p.home.journal.DropTombstone(path))
	}
	if k.flying || p.queue.Stuck(path) { // a file that was renamed here may not be what was refused, or will be
		p.noteStuckLocked(path, state.Ino)
	}
	p.queue.Write(path, size, queue.Order{Exists: k.stored, MaybeGone: k.deleting, Group: gitGroup(path), Anew: anew}, p.now())
}

// sawMember notes a member of a database, which is no name of its own. What is pending of it is from
// before there was a database; an object that it has goes when the database's has taken its place.
func (p *pending) sawMember(path, base string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, stored := p.home.journal.Get(path)
	known, ok := p.home.journal.Get(base)
	switch {
	case !stored:
		p.agreeLocked(path, true, true)
	case ok && known.Whole:
		p.goneLocked(path, false)
	}
}

// rewrite lets a file go up in any state, if it is not pending already.
func (p *pending) rewrite(path string, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, pending := p.queue.Has(path); !pending {
		k := p.lookupLocked(path, journal.Stat{})
		p.queue.Write(path, size, queue.Order{Exists: k.stored, MaybeGone: k.deleting, Anew: true}, p.now())
	}
}

// wasWritten notes that a file was written that is gone again: its deletion has an event of its own,
// and what was written takes its place among the changes until then.
func (p *pending) wasWritten(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.lookupLocked(path, journal.Stat{})
	p.queue.Write(path, 0, queue.Order{Exists: k.stored, MaybeGone: k.deleting, Group: gitGroup(path), Anew: true}, p.now())
}

// sawDirectory notes a directory that may need a marker; entries are in it, or not.
func (p *pending) sawDirectory(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.filledLocked(path)
	p.makeRoomAboveLocked(path + "/")
	if p.lookupLocked(path, journal.Stat{}).mayBeStored() {
		p.goneLocked(path, true) // a file was there
	}
	k := p.lookupLocked(path+"/", journal.Stat{})
	if k.stored && k.tombstone {
		p.home.remember(p.home.journal.DropTombstone(path))
	}
	p.queue.Write(path+"/", 0, queue.Order{Exists: k.stored, MaybeGone: k.deleting, Anew: true}, p.now())
}

// sawNothing notes that nothing is kept at a path any more, nor below it. ordered: a deletion was
// observed, in its place among all changes.
func (p *pending) sawNothing(path string, ordered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsupported.dropAll(path)
	if known, ok := p.home.journal.Get(path); ok {
		p.goneLocked(nameOf(known), ordered)
	}
	if in, ok := p.home.journal.Intent(path); ok {
		p.goneLocked(nameOf(journal.Entry{Path: path, Key: in.Key}), ordered)
	}
	for known := range p.home.journal.Below(path) {
		p.goneLocked(nameOf(known), ordered)
	}
	// What was pending and never reached S3.
	for _, name := range p.writesBelowLocked(path) {
		p.goneLocked(name, ordered)
	}
}

// searchPending bounds the search for what was pending below a directory that is gone. Beyond
// it the job of each of them finds out by itself.
const searchPending = 4096

// writesBelowLocked are the pending writes of a path, of its marker, and below it.
func (p *pending) writesBelowLocked(path string) (names []string) {
	for _, name := range []string{path, path + "/"} {
		if kind, ok := p.queue.Has(name); ok && kind == queue.Write {
			names = append(names, name)
		}
	}
	if p.queue.Len() > searchPending {
		return names
	}
	for change := range p.queue.Pending {
		if change.Kind == queue.Write && isBelow(change.Name, path) {
			names = append(names, change.Name)
		}
	}
	return names
}

// goneLocked notes that one name is gone.
func (p *pending) goneLocked(name string, ordered bool) {
	path := strings.TrimSuffix(name, "/")
	k := p.lookupLocked(name, journal.Stat{})
	switch decide(k, seenNothing) {
	case agree:
		p.agreeLocked(name, false, ordered)
	case suspend:
		p.unsupported.set(path, "its deletion is not saved: it was on another device than the home, which may just have been unmounted")
	case remove:
		delete(p.unstable, name)
		p.home.remember(p.home.journal.AddTombstone(path))
		if k.stored {
			p.noteMovedLocked(path)
		}
		p.queue.Delete(name, ordered, p.now())
	}
}

// filledLocked notes that something is in a directory: a marker that could not be stored may not
// be needed any more.
func (p *pending) filledLocked(path string) {
	if p.queue.StuckLen() == 0 {
		return
	}
	if dir, _ := tree.Split(path); dir != "" && p.queue.Stuck(dir+"/") {
		_, ok := p.home.journal.Get(dir)
		p.queue.Write(dir+"/", 0, queue.Order{Exists: ok, Anew: true}, p.now())
	}
}

// makeRoomLocked notes that what stood where a file is now was deleted before: a directory with
// all that was in it, or a file in the place of a directory above.
func (p *pending) makeRoomLocked(path string) {
	marker := path + "/"
	if _, pending := p.queue.Has(marker); pending || p.lookupLocked(marker, journal.Stat{}).mayBeStored() {
		p.goneLocked(marker, true)
	}
	for known := range p.home.journal.Below(path) {
		p.goneLocked(nameOf(known), true)
	}
	p.makeRoomAboveLocked(path)
}

// makeRoomAboveLocked is makeRoomLocked for what has to be a directory now.
func (p *pending) makeRoomAboveLocked(path string) {
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		kind, pending := p.queue.Has(dir)
		if p.lookupLocked(dir, journal.Stat{}).mayBeStored() || pending && kind == queue.Write {
			p.goneLocked(dir, true)
		}
	}
}
