package hot

import (
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
)

// pending is what S3 does not hold yet as the disk does, and why. The observer and the syncer share
// it, and nothing else. Everything in it is behind its lock, which is never held over a call that
// blocks.
type pending struct {
	home  *home
	clock time.Time // queue.Time counts from here, on the monotonic clock
	kick  chan struct{}

	mu          sync.Mutex
	queue       *queue.Queue
	waiters     chan struct{}      // closed and made anew whenever something has ended
	moved       inodes             // paths that are to be deleted, of which a rename may find the object
	failed      map[string]failure // why pending names are not stored
	blocked     map[string]bool    // pending writes that something in S3 excludes, which was looked at
	stuckFiles  inodes             // pending files that could not be stored
	unstable    map[string]int     // pending files that were not at rest, and how often in a row
	unsupported reasons            // sockets and the like, and directories that cannot be read
	retained    map[string]bool    // paths whose file was moved to where nothing is kept: their objects stay
	foreign     map[string]bool    // directories that were seen on another device than the root's
	holds       [holdReasons]string
	held        string // why deletions are held back: the first of holds
	counts      counts
}

// counts since the process started.
type counts struct {
	uploaded, bytes, conflicts, rescans int64
	success                             time.Time
	watchLimit                          bool
}

func newPending(h *home, r queue.Rules) *pending {
	return &pending{
		home: h, clock: time.Now(), kick: make(chan struct{}, 1),
		queue: queue.New(r), waiters: make(chan struct{}), moved: newInodes(), failed: map[string]failure{},
		blocked: map[string]bool{}, stuckFiles: newInodes(), unstable: map[string]int{}, unsupported: newReasons(),
		retained: map[string]bool{}, foreign: map[string]bool{},
	}
}

// now is the queue's time.
func (p *pending) now() queue.Time { return time.Since(p.clock) }

// wake makes the dispatcher look again.
func (p *pending) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// broadcastLocked wakes the callers that wait for a job's end.
func (p *pending) broadcastLocked() {
	close(p.waiters)
	p.waiters = make(chan struct{})
	p.wake()
}

// agreeLocked tells the queue that the disk and S3 agree about a name.
func (p *pending) agreeLocked(name string, exists, ordered bool) {
	p.queue.Same(name, exists, ordered, p.now())
	if _, pending := p.queue.Has(name); !pending {
		p.clearFailureLocked(name)
	}
}

// clearFailureLocked forgets why a name was not stored. Nothing of it is to be stored any more:
// what was refused is gone, or as S3 has it.
func (p *pending) clearFailureLocked(name string) {
	delete(p.failed, name)
	delete(p.unstable, name)
	delete(p.blocked, name)
	p.stuckFiles.drop(name)
}

// noteStuckLocked notes the file of a name that could not be stored, or may not be, for holdForStuckLocked.
func (p *pending) noteStuckLocked(name string, ino uint64) {
	if p.stuckFiles.path[ino] == name || ino == 0 {
		return
	}
	p.stuckFiles.set(ino, name)
	p.queue.OnlyCopy(name, false) // another file had the name then
}

// holdForStuckLocked tells whether the object of a path may have the only copy of a file that could not
// be stored: it was renamed, over a file of which S3 has an older version. It holds deletions from then on.
func (p *pending) holdForStuckLocked(path string) bool {
	known, ok := p.home.journal.Get(path)
	if !ok || known.IsMarker() || known.Size == 0 {
		return false
	}
	name, ok := p.stuckFiles.path[known.Local.Ino]
	if !ok || name == path || !p.queue.Stuck(name) || p.queue.Waits(name) {
		return false // what waits for a delete itself holds the others back by that
	}
	p.queue.OnlyCopy(name, true)
	return true
}

// leaveOut forgets what was pending of a path that is left out by now.
func (p *pending) leaveOut(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.agreeLocked(path, true, true)
	p.agreeLocked(path+"/", true, true)
}

// noteMovedLocked lets a rename find the object of a path that is to be deleted.
func (p *pending) noteMovedLocked(path string) {
	if entry, ok := p.home.journal.Get(path); ok && !entry.IsMarker() && entry.Size > 0 {
		p.moved.set(entry.Local.Ino, path)
	}
}

// movedEntry is upload.Options.Moved.
func (p *pending) movedEntry(ino uint64) (journal.Entry, bool) {
	p.mu.Lock()
	path, ok := p.moved.path[ino]
	p.mu.Unlock()
	if !ok || !p.home.journal.HasTombstone(path) {
		return journal.Entry{}, false
	}
	return p.home.journal.Get(path)
}

// retain keeps the objects of a path and of all below it: a stored file that is renamed to an
// excluded name keeps its object.
func (p *pending) retain(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.home.journal.Get(path); ok {
		p.retained[path] = true
	}
	for known := range p.home.journal.Below(path) {
		p.retained[known.Path] = true
	}
}

func (p *pending) isRetained(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retained[path]
}

// isPending tells whether anything of a path is.
func (p *pending) isPending(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, file := p.queue.Has(path)
	_, marker := p.queue.Has(path + "/")
	return file || marker
}

func (p *pending) isStuck(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.Stuck(name)
}

// stuck are the names that cannot be stored, at most so many.
func (p *pending) stuck(most int) (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.StuckLen() == 0 {
		return nil
	}
	for change := range p.queue.Pending {
		if change.Stuck && len(names) < most {
			names = append(names, change.Name)
		}
	}
	return names
}

// unseen notes that in a directory things may have come and gone before it was watched.
func (p *pending) unseen(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.Unseen(gitGroup(dir+"/"), p.now())
}

// observedUpTo notes that all that happened on the disk before a moment has been observed.
func (p *pending) observedUpTo(at queue.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.ObservedUpTo(at)
	p.broadcastLocked()
}

// scanned counts a scan of the whole tree.
func (p *pending) scanned() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.rescans++
}

// watchLimit notes that not all directories are watched.
func (p *pending) watchLimit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.watchLimit = true
}

// noteForeign notes that a directory was seen on another device than the root's.
func (p *pending) noteForeign(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.foreign[dir] = true
}

// unreadable names a path whose content cannot be saved, until readable. It tells whether that is
// news.
func (p *pending) unreadable(path, why string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unsupported.set(path, why)
}

func (p *pending) readable(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsupported.drop(path)
}

func isBelow(name, dir string) bool {
	return len(name) > len(dir)+1 && name[len(dir)] == '/' && strings.HasPrefix(name, dir)
}

func nameOf(e journal.Entry) string {
	if e.IsMarker() {
		return e.Path + "/"
	}
	return e.Path
}
