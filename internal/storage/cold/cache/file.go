package cache

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// File is content on disk, wholly or in part.
type File struct {
	books
	id ID // zero: private, no other Checkout finds it

	mu sync.RWMutex // shared: input and output; exclusive: what takes bytes away, or changes the name
	wr sync.Mutex   // one modification at a time

	fd    atomic.Pointer[os.File] // nil until the first byte, and when not held
	size  atomic.Int64
	whole atomic.Bool // nothing is missing
	named atomic.Bool // the disk has the name of dirty content, and that its map is gone

	dirty   bool      // changes with mu exclusive
	name    string    // of a dirty file
	limit   int64     // bytes from here on are never missing; changes with mu exclusive
	have    bitmap    // while not whole; replaced with mu exclusive
	missing int64     // blocks below limit; with wr
	onDisk  *mapFile  // of dirty content of which something is missing
	snap    *Snapshot // with wr
	changes *changes  // of dirty content; nil: not known; with wr
}

func (c *Cache) newFile() *File {
	f := new(File)
	f.books = books{c: c, of: f}
	return f
}

func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (f *File) private() bool { return f.id == ID{} }

// path is where the content is.
func (f *File) path() string {
	if f.dirty {
		return f.c.dirtyName(f.name)
	}
	return f.c.pathOf(f.id, f.name, f.whole.Load())
}

// pathOf is where clean content is.
func (c *Cache) pathOf(id ID, private string, whole bool) string {
	switch {
	case id == ID{}:
		return filepath.Join(c.dir, "partial", "private-"+private)
	case whole:
		return c.cleanName(id)
	default:
		return c.partialName(id)
	}
}

// Checkout gives the content of a version of an object, of which as much is here as earlier
// readers brought. While another holder has the same version it is a second, private one.
func (c *Cache) Checkout(id ID, size int64) (*File, error) {
	c.mu.Lock()
	f := c.clean[id]
	switch {
	case f == nil:
		f = c.newClean(id, size)
		c.clean[id] = f
	case f.held || f.size.Load() != size:
		f = c.newClean(ID{}, size)
	}
	f.held = true
	here := f.bytes > 0
	var evicted string
	if len(c.clean) > maxFiles {
		evicted = c.dropOldest()
	}
	c.mu.Unlock()
	if evicted != "" {
		os.Remove(evicted)
	}
	if !here { // nothing is on disk: the file is made with the first block
		return f, nil
	}
	fd, err := os.OpenFile(f.path(), os.O_RDWR, 0)
	if err == nil {
		f.fd.Store(fd)
		stamp(fd)
		return f, nil
	}
	// Another process has removed the file: begin anew.
	c.mu.Lock()
	f.uncount()
	fresh := c.newClean(id, size)
	fresh.held = true
	c.clean[id] = fresh
	c.mu.Unlock()
	return fresh, nil
}

func (c *Cache) newClean(id ID, size int64) *File {
	f := c.newFile()
	f.id, f.limit, f.missing = id, size, blocks(size)
	if f.private() {
		f.name = randomName()
	}
	f.size.Store(size)
	if size == 0 {
		f.whole.Store(true)
		return f
	}
	f.have = newBitmap(blocks(size))
	f.chunks = make([]*chunk, (size+chunkSize-1)/chunkSize)
	return f
}

// dropOldest forgets the least recently used file without a holder.
func (c *Cache) dropOldest() string { // with c.mu
	for e := c.lru.Back(); e != nil; e = e.Prev() {
		if f := e.Value.(*chunk).f; !f.held && f.mu.TryLock() {
			name := c.dropClean(f)
			f.mu.Unlock()
			return name
		}
	}
	return ""
}

// Create makes an empty dirty file.
func (c *Cache) Create(name string) (*File, error) {
	f := c.newFile()
	f.dirty, f.name, f.held = true, name, true
	f.whole.Store(true)
	var fd *os.File
	err := c.WithRoom(func() (err error) {
		fd, err = os.OpenFile(c.dirtyName(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return nil, full(err)
	}
	f.fd.Store(fd)
	c.mu.Lock()
	c.dirtied[name] = f
	c.mu.Unlock()
	return f, nil
}

// Size is how long the content is.
func (f *File) Size() int64 { return f.size.Load() }

// Whole says that nothing has to be fetched.
func (f *File) Whole() bool { return f.whole.Load() }

// Dirty says that the content is S3's no longer, or not yet.
func (f *File) Dirty() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.dirty
}

// Return gives the file back. Clean content stays for the next Checkout, dirty content for
// OpenDirty; private content goes.
func (f *File) Return() {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := f.path()
	f.close()
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	f.held = false
	switch {
	case f.dirty:
	case f.private():
		f.uncount()
		os.Remove(name)
		c.notify()
	case f.bytes == 0:
		if c.clean[f.id] == f {
			delete(c.clean, f.id)
		}
		os.Remove(name)
	default:
		c.notify()
	}
}

// Discard gives back dirty content that is wanted no longer, and removes it.
func (f *File) Discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty {
		panic("cache: Discard of clean content")
	}
	f.close()
	if err := f.c.RemoveDirty(f.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.c.log.Warn("cannot remove content that is wanted no longer", "event", "cold_cache_remove", "error", err)
	}
	c := f.c
	c.mu.Lock()
	c.used -= f.bytes
	c.dirty -= f.bytes
	f.bytes, f.held = 0, false
	delete(c.dirtied, f.name)
	c.notify()
	c.mu.Unlock()
}

func (f *File) close() { // with mu exclusive
	f.wr.Lock()
	defer f.wr.Unlock()
	if f.snap != nil {
		f.snap.give(ErrSnapshot)
	}
	if fd := f.fd.Swap(nil); fd != nil {
		fd.Close()
	}
	f.onDisk.close()
	f.onDisk = nil
}

// open makes the file on disk when it is not there yet. With wr.
func (f *File) open() (*os.File, error) {
	if fd := f.fd.Load(); fd != nil {
		return fd, nil
	}
	// O_TRUNC: a file of that name can only be one whose map is lost.
	fd, err := os.OpenFile(f.path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil && f.whole.Load() && errors.Is(err, os.ErrNotExist) { // empty content, straight in clean/
		if err = os.Mkdir(filepath.Dir(f.path()), 0o700); err == nil || errors.Is(err, os.ErrExist) {
			fd, err = os.OpenFile(f.path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		}
	}
	if err == nil {
		err = fd.Truncate(f.size.Load())
	}
	if err != nil {
		return nil, full(err)
	}
	f.fd.Store(fd)
	return fd, nil
}

// Sync makes dirty content safe against the end of the machine, and with it the name under which its
// owner's journal knows it: fdatasync(2) of a file need not bring its new name to the disk.
func (f *File) Sync() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	m := f.onDisk
	f.wr.Unlock()
	for _, fd := range []*os.File{f.fd.Load(), m.file()} {
		if fd == nil {
			continue
		}
		if err := unix.Fdatasync(int(fd.Fd())); err != nil {
			return fmt.Errorf("cannot sync cached content: %w", err)
		}
	}
	if !f.dirty || f.named.Load() {
		return nil
	}
	f.named.Store(true) // before the sync: a map that goes meanwhile needs another
	if err := f.c.syncNames(); err != nil {
		f.named.Store(false)
		return err
	}
	return nil
}

// syncNames has the disk know which dirty files there are.
func (c *Cache) syncNames() error {
	d, err := os.Open(filepath.Join(c.dir, "dirty"))
	if err != nil {
		return fmt.Errorf("cannot sync the cold path's cache: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot sync the cold path's cache: %w", err)
	}
	return nil
}

// full makes one error of the two ways in which a disk is full.
func full(err error) error {
	if noRoom(err) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

// Modified is when the content on disk was changed last.
func (f *File) Modified() time.Time {
	if fd := f.fd.Load(); fd != nil {
		if info, err := fd.Stat(); err == nil {
			return info.ModTime()
		}
	}
	return time.Now()
}
