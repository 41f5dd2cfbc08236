package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// BeginDirty turns content of an object into content of its own, under the name given: from
// now on it may be written. What is missing of it still has to be filled from the object.
func (f *File) BeginDirty(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	if f.dirty {
		if f.name != name { // what its owner writes down about name would be about nothing
			return fmt.Errorf("cache: BeginDirty as %s of content that is dirty as %s", name, f.name)
		}
		return nil
	}
	if _, err := f.open(); err != nil {
		return err
	}
	if !f.whole.Load() {
		var err error
		if f.onDisk, err = f.c.createMap(name, f.have, f.limit, f.size.Load()); err != nil {
			return err
		}
	}
	if err := f.c.WithRoom(func() error { return os.Rename(f.path(), f.c.dirtyName(name)) }); err != nil {
		f.dropMapOf(name)
		return full(err)
	}
	c := f.c
	c.mu.Lock()
	if !f.private() && c.clean[f.id] == f {
		delete(c.clean, f.id)
	}
	f.uncount()
	f.dirty, f.name, f.id, f.changes = true, name, ID{}, noChanges(f.size.Load())
	c.dirtied[name] = f
	c.mu.Unlock()
	f.named.Store(false)
	f.account(f.fd.Load(), 0)
	return nil
}

// MarkClean says that S3 has the content as it is, as that version. It is evictable then. Content that
// the disk has no room to give another name is dropped: it can be fetched again, and must not stay
// under a name of which its owner's journal does not speak any more.
func (f *File) MarkClean(id ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	if !f.dirty {
		return fmt.Errorf("cache: MarkClean of content that is clean")
	}
	if f.snap != nil {
		f.snap.give(ErrSnapshot)
	}
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.clean[id]; other != nil {
		if !other.held && other.mu.TryLock() {
			name := c.dropClean(other)
			other.mu.Unlock()
			defer os.Remove(name)
		} else { // a second holder of the same version, or being evicted: this one stays private
			id = ID{}
		}
	}
	private, n := randomName(), f.bytes
	if f.size.Load() == 0 {
		os.Remove(f.path()) // nothing to keep; made again by the next write
		if fd := f.fd.Swap(nil); fd != nil {
			fd.Close()
		}
	} else if err := rename(f.path(), c.pathOf(id, private, f.whole.Load())); err != nil {
		c.log.Info("content that went to S3 is not kept in the cold path's cache", "event", "cold_cache_clean", "error", err)
		f.drop()
	}
	delete(c.dirtied, f.name)
	f.dropMapOf(f.name)
	f.dirty, f.id, f.name, f.changes = false, id, private, nil
	c.used -= n
	c.dirty -= n
	f.bytes = 0
	if f.whole.Load() {
		f.limit = f.size.Load()
		f.countWhole(f.size.Load())
		if sparse := f.bytes - n; sparse > 0 && n < f.bytes/2 {
			f.countLess(sparse)
		}
	} else {
		f.countPart()
	}
	if !f.private() {
		c.clean[id] = f
	}
	c.notify()
	return nil
}

// Rekey says that a version has been copied on the server: what is cached of it is content of the copy
// from now on.
func (c *Cache) Rekey(from, to ID) {
	c.mu.Lock()
	f := c.clean[from]
	c.mu.Unlock()
	if f == nil || from == to {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clean[from] != f || c.clean[to] != nil {
		return // it became dirty or was evicted meanwhile, or the copy is known already
	}
	// A file of which every block was evicted is on the disk all the same.
	err := rename(f.path(), c.pathOf(to, f.name, f.whole.Load()))
	if err != nil && (f.bytes > 0 || f.fd.Load() != nil) {
		return // it is still content of the first version
	}
	delete(c.clean, from)
	f.id = to
	c.clean[to] = f
}

// drop takes all of a dirty file's content off the disk: every block of it is missing then. With mu
// exclusive and wr.
func (f *File) drop() {
	if err := os.Remove(f.path()); err != nil {
		f.c.log.Warn("cached content cannot be removed", "event", "cold_cache_remove", "error", err)
	}
	if fd := f.fd.Swap(nil); fd != nil {
		fd.Close()
	}
	size := f.size.Load()
	f.have, f.limit = newBitmap(blocks(size)), size
	f.whole.Store(false)
}

// countPart books a file of which something is missing; what is beyond its limit is not. With mu exclusive
// and wr.
func (f *File) countPart() { // with c.mu
	size, had := f.size.Load(), f.have
	here := func(i int64) bool { return i*BlockSize >= f.limit || i/64 < int64(len(had)) && had.get(i) }
	f.have, f.missing = newBitmap(blocks(size)), 0
	f.chunks = make([]*chunk, (size+chunkSize-1)/chunkSize)
	for i := range blocks(size) {
		if !here(i) {
			f.missing++
			continue
		}
		f.have.set(i)
		f.book(i*BlockSize/chunkSize, min(BlockSize, size-i*BlockSize))
	}
	f.limit = size
}

// WriteAt writes to dirty content. ErrMissing when a block that it changes in part is
// missing: fill it and try again. ErrFull when there is no room. Fewer bytes than
// asked for, without an error, when the disk became full in the middle.
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	reserved := int64(len(b)) + 2*4096 // the edges of the file system's own blocks
	if err := f.c.reserve(reserved); err != nil {
		return 0, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	defer func() { f.account(f.fd.Load(), reserved) }()
	if !f.dirty {
		return 0, errors.New("cache: WriteAt of clean content")
	}
	end := off + int64(len(b))
	_, fresh := f.lack(off, end) // a block that is missing becomes local
	if fresh && f.tornBy(off, end) {
		return 0, ErrMissing
	}
	f.preserve(off, end)
	f.noteChange(off, end)
	fd, err := f.open()
	if err != nil {
		return 0, err
	}
	n, err := f.pwrite(fd, b, off)
	if n > 0 && fresh {
		if err != nil {
			n = f.usable(off, n)
		}
		var unmarked error
		n, unmarked = f.arrived(off, off+int64(n))
		err = errors.Join(err, unmarked)
	}
	size := f.size.Load()
	if grown := off + int64(n); n > 0 && grown > size {
		size = grown
		f.size.Store(size)
	}
	if n < len(b) { // the size on the disk is what the next process takes for the size
		err = errors.Join(err, cutTo(fd, size))
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// cutTo takes off the disk what was written beyond the size, and does not count.
func cutTo(fd *os.File, size int64) error {
	info, err := fd.Stat()
	if err != nil || info.Size() <= size {
		return err
	}
	return fd.Truncate(size)
}

// usable is how much counts of a write that ended early after n bytes: the block in which it ended would be
// filled over what was written of it, when that is missing. What was written of blocks that are here counts: it
// has changed them.
func (f *File) usable(off int64, n int) int {
	end := off + int64(n)
	if i := end / BlockSize; end < f.limit && !f.have.get(i) {
		return int(max(0, i*BlockSize-off))
	}
	return n
}

// tornBy says that the range covers a missing block in part only.
func (f *File) tornBy(off, end int64) bool {
	for _, i := range []int64{off / BlockSize, (end - 1) / BlockSize} {
		start, stop := i*BlockSize, min((i+1)*BlockSize, f.limit)
		if start < f.limit && !f.have.get(i) && (off > start || end < stop) {
			return true
		}
	}
	return false
}

// arrived marks the blocks of a range as here, on disk first, and says how many bytes of the range count: those
// before the first block that the disk cannot mark, which would be filled over. With wr.
func (f *File) arrived(off, end int64) (int, error) {
	for i := off / BlockSize; i < blocks(min(end, f.limit)); i++ {
		if f.have.get(i) {
			continue
		}
		if err := f.onDisk.mark(i, f.have[i/64]|1<<(i%64)); err != nil {
			return int(max(0, i*BlockSize-off)), err
		}
		f.have.set(i)
		f.missing--
	}
	if f.missing == 0 {
		return int(end - off), f.nowWhole()
	}
	return int(end - off), nil
}

// Truncate makes dirty content shorter or longer; what is added reads as zeros.
func (f *File) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	if !f.dirty {
		return errors.New("cache: Truncate of clean content")
	}
	fd, err := f.open()
	if err != nil {
		return err
	}
	if size < f.size.Load() {
		f.preserve(size, f.size.Load())
		f.noteTruncate(size)
	}
	// The content first, the limit after it: a kill between the two leaves a limit that is
	// too high for the size, and OpenDirty takes the lower one.
	if err := fd.Truncate(size); err != nil {
		return full(err)
	}
	f.size.Store(size)
	f.account(f.fd.Load(), 0)
	if f.whole.Load() || size >= f.limit {
		f.limit = min(f.limit, size)
		return nil
	}
	if err := f.onDisk.cut(size); err != nil {
		return err
	}
	f.limit = size
	f.missing = blocks(size) - f.have.count(blocks(size))
	if f.missing == 0 {
		return f.nowWhole()
	}
	return nil
}

// rename makes the target's directory when it is missing.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, syscall.ENOENT) {
		if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		err = os.Rename(from, to)
	}
	return err
}
