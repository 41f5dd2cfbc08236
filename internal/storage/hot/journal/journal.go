// Package journal records what S3 holds of the home, path by path, and what is on
// its way there. It is what tells a change from a copy, and a deletion from an
// absence.
//
// # What it keeps
//
//   - an [Entry] for each object that this sandbox has written or fetched: its key,
//     ETag, attributes, hash, and the stat that the local file had when the two
//     were known to be equal;
//   - the paths whose deletion was seen while running and is not in S3 yet ([Journal.AddTombstone]);
//   - an [Intent] for each write that was sent and not yet answered, so that a
//     write whose answer was lost is recognised as our own; and for each such deletion, so that
//     a file that is there again is not taken for stored;
//   - of a write that succeeded at last, or was given up, the BASE of its earlier attempts, as
//     long as one of them may still arrive ([Journal.Intent], [Journal.Unresolved]);
//   - the second object of a path that has two ([Twin]);
//   - whether hydrate has ever completed for this bucket, prefix and root.
//
// Losing it may bring deleted files back, and never loses one.
//
// # How it is written
//
// One file, a log of checksummed records. Each change is one write(2) at the end, made
// before the call returns, so that a kill of the process at any instruction loses
// nothing that was returned; a torn tail is cut at the next Open. The log is rewritten
// (new file, fsync, rename) when most of it is stale. It is not fsynced change by
// change: after a crash of the whole host, which [Rebooted] tells, files of the home
// may be torn too, and hydrate then trusts S3 alone.
//
// A full disk does not stop the sync: a change that could not be written is kept in
// memory, [Journal.Err] says so, and the log is rewritten as soon as there is room.
package journal

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Stat is what a local file looked like when it and its object were known to be
// equal.
type Stat struct {
	Size, Mtime, Ctime int64 // bytes; nanoseconds since the epoch
	Ino                uint64

	// Racy says that the file may have changed since without its times showing it: its
	// ctime was too recent when it was read. The Stat of no file on the disk has it, so that
	// such a file compares unequal and is hashed again. See LooksLike.
	Racy bool
}

// LooksLike tells whether a file is, by its stat, what it was. When s is Racy, that proves
// nothing until its content is compared; a file that does not look like it has changed.
func (s Stat) LooksLike(now Stat) bool {
	s.Racy, now.Racy = false, false
	return s == now
}

// Entry is one object of hot/ and the local file that is equal to it.
type Entry struct {
	Path     string   // below the root, raw bytes, no leading slash; a directory has no trailing slash
	Key      string   // below the hot prefix, escaped: usually Path, and Path+"/" for a directory
	ETag     string   // bare, without quotes
	Size     int64    // of the object's body: for a symbolic link the length of its target
	Mode     uint32   // st_mode with type bits
	Mtime    int64    // nanoseconds since the epoch, as stored in the object's metadata
	SHA256   [32]byte // of the body; all zero when not known
	Modified int64    // S3's Last-Modified in seconds since the epoch, or a bound of it; 0 when not known
	Local    Stat

	// Whole says that the object is a database as one file, with all that was in the files beside
	// it: those have no objects of their own, and Local is the state of all of them.
	Whole bool
}

// Identity says whose journal it is. One with another bucket, prefix, file system, inode
// or birth time is discarded; BootID only tells a crash of the host.
type Identity struct {
	Bucket, Prefix string
	FileSystem     uint64 // on which the root is
	Ino            uint64 // of the root
	Btime          int64  // of the root, nanoseconds since the epoch; 0 where the file system has none
	BootID         string // /proc/sys/kernel/random/boot_id
}

func (id Identity) sameHome(other Identity) bool {
	id.BootID, other.BootID = "", ""
	return id == other
}

// Origin is what Open found.
type Origin int

const (
	Fresh     Origin = iota // nothing, or another home's, which was discarded
	Continued               // this home's, written since the host was booted
	Rebooted                // this home's, and the host went down since: unsynced files may be empty or torn
)

func (o Origin) String() string {
	switch o {
	case Continued:
		return "continued"
	case Rebooted:
		return "rebooted"
	}
	return "fresh"
}

// errLocked says that another process has the journal open.
var errLocked = errors.New("another process has the journal open")

// fileName of the log in the journal's directory.
const fileName = "journal"

// Journal is safe for concurrent use.
type Journal struct {
	mu         sync.RWMutex
	log        *log
	id         Identity // as written; the boot id is the old one until SetHydrated
	boot       string   // the present boot id
	origin     Origin
	hydrated   bool
	seq        uint64
	files      index
	gone       map[string]struct{}
	intents    map[string]Intent
	unresolved map[string]Intent // of ended intents, by path: an attempt may still arrive
	twins      map[string]Twin   // by name
	scratch    []byte
}

// Open reads the journal in dir, which is made if need be, and cuts a torn tail.
func Open(dir string, id Identity) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the journal's directory: %w", err)
	}
	j := &Journal{id: id, boot: id.BootID, gone: map[string]struct{}{}, intents: map[string]Intent{}, unresolved: map[string]Intent{}, twins: map[string]Twin{}}
	l, err := openLog(filepath.Join(dir, fileName))
	if err != nil {
		return nil, err
	}
	j.log = l
	found, err := j.replay(id)
	if err != nil {
		l.close()
		return nil, fmt.Errorf("cannot read the journal %s: %w", l.path, err)
	}
	if !found {
		j.reset(id)
		if err := j.rewrite(); err != nil {
			l.close()
			return nil, fmt.Errorf("cannot write the journal %s: %w", l.path, err)
		}
	}
	return j, nil
}

func (j *Journal) reset(id Identity) {
	j.id, j.origin, j.hydrated, j.seq = id, Fresh, false, 0
	j.files = index{}
	clear(j.gone)
	clear(j.intents)
	clear(j.unresolved)
	clear(j.twins)
}

// Origin says what Open found.
func (j *Journal) Origin() Origin { return j.origin }

// Get returns the entry of path.
func (j *Journal) Get(path string) (Entry, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	r := j.files.get(path)
	if r == nil {
		return Entry{}, false
	}
	return r.entry(path), true
}

// Put records that S3 holds e, which ends the path's intent and deletion.
func (j *Journal) Put(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	j.put(e)
	return j.append(opPut, func(b []byte) []byte { return appendEntry(b, e) })
}

// put is Put in memory.
func (j *Journal) put(e Entry) {
	j.files.put(e)
	delete(j.gone, e.Path)
	// The first attempt was answered. An earlier one that was not may be on its way: a server may
	// finish a request long after its connection broke.
	j.end(e.Path, 2)
}

// Touch replaces what is known of the local file, the object being the same.
func (j *Journal) Touch(path string, local Stat) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.files.get(path)
	if r == nil || r.local == local {
		return nil
	}
	r.local = local
	return j.append(opTouch, func(b []byte) []byte { return appendStat(binenc.AppendString(b, path), local) })
}

// Refresh is Touch, provided that the entry still describes this version of the object.
func (j *Journal) Refresh(path, etag string, local Stat) error {
	if e, ok := j.Get(path); !ok || e.ETag != etag {
		return nil
	}
	return j.Touch(path, local)
}

// Forget records that S3 holds nothing for path.
func (j *Journal) Forget(path string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, gone := j.gone[path]
	_, intent := j.intents[path]
	if !j.files.remove(path) && !gone && !intent {
		return nil
	}
	j.seq++
	delete(j.gone, path)
	j.end(path, 1)
	return j.append(opForget, func(b []byte) []byte { return binenc.AppendString(b, path) })
}

// Hydrated tells whether hydrate has completed for this identity. Until it has,
// nothing may be uploaded or deleted.
func (j *Journal) Hydrated() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.hydrated
}

// SetHydrated records that hydrate has completed, and from now on the present boot id.
// It is on the disk when SetHydrated returns nil.
func (j *Journal) SetHydrated() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hydrated = true
	j.id.BootID = j.boot
	if err := j.append(opHome, func(b []byte) []byte { return appendHome(b, j.id, true, j.seq) }); err != nil {
		return err
	}
	return j.log.sync()
}

// Len is the number of entries.
func (j *Journal) Len() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.files.count
}

// Bytes is the sum of the entries' sizes.
func (j *Journal) Bytes() int64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.files.bytes
}

// Seq grows with each change of what S3 holds.
func (j *Journal) Seq() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.seq
}

// All yields every entry, in no order. It holds no lock while the caller works: a
// change made meanwhile may or may not be seen.
func (j *Journal) All() iter.Seq[Entry] { return j.Below("") }

// Below yields every entry below the directory dir, and not dir itself; "" is the root.
func (j *Journal) Below(dir string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		todo := []string{dir}
		for len(todo) > 0 {
			d := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			entries, dirs := j.Children(d)
			for _, e := range entries {
				if !yield(e) {
					return
				}
			}
			todo = append(todo, dirs...)
		}
	}
}

// Children returns the entries directly in dir and the paths of the directories in
// it that have entries below them.
func (j *Journal) Children(dir string) (entries []Entry, dirs []string) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	n := j.files.dir(dir)
	if n == nil {
		return nil, nil
	}
	if len(n.files) > 0 {
		entries = make([]Entry, 0, len(n.files))
	}
	for name, r := range n.files {
		entries = append(entries, r.entry(join(dir, name)))
	}
	for name := range n.dirs {
		dirs = append(dirs, join(dir, name))
	}
	return entries, dirs
}

// Sync brings the log to the disk.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.catchUp(true); err != nil {
		return err
	}
	return j.log.sync()
}

// Err says why the newest changes are in memory alone, nil when they are not.
func (j *Journal) Err() error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.log.err
}

// Close releases the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.catchUp(true)
	return errors.Join(err, j.log.close())
}
