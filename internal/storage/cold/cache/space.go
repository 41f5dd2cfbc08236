package cache

import (
	"container/list"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// chunk is what is counted of a clean file, and what is evicted of one that is held.
type chunk struct {
	f     *File
	index int64
	bytes int64
	elem  *list.Element // in Cache.lru; nil when bytes is 0
}

// reserve books n bytes, evicting what is clean and least recently used. ErrFull when
// what is left is dirty or in use.
func (c *Cache) reserve(n int64) error {
	return c.makeRoom(func() bool { return c.used+n <= c.max }, func() { c.used += n })
}

// squeeze evicts at least n bytes: the disk is full although the books are not.
func (c *Cache) squeeze(n int64) error {
	c.mu.Lock()
	target := c.used - n
	c.mu.Unlock()
	return c.makeRoom(func() bool { return c.used <= target }, func() {})
}

// WithRoom runs something that needs room on the cache's disk, and again after clean content has made some: what
// can be fetched again goes before anything is refused.
func (c *Cache) WithRoom(do func() error) error {
	err := do()
	if !noRoom(err) {
		return err
	}
	c.freeRoom(roomFor)
	return do()
}

// freeRoom evicts what is clean, since the disk is full.
func (c *Cache) freeRoom(n int64) {
	if c.squeeze(n) != nil {
		// Not that much is clean; what there was has been freed.
		c.log.Debug("the disk of the cold path's cache is full", "event", "cold_disk_full")
	}
}

// roomFor is how much is freed on a full disk, in bytes, so that not every write has to.
const roomFor = 64 << 20

func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// makeRoom evicts until enough says so, and then calls then under the same lock.
func (c *Cache) makeRoom(enough func() bool, then func()) error {
	var busy []*chunk
	defer func() {
		c.mu.Lock()
		for _, ch := range busy {
			ch.pushBack()
		}
		c.mu.Unlock()
	}()
	for {
		c.mu.Lock()
		if enough() {
			then()
			c.mu.Unlock()
			return nil
		}
		last := c.lru.Back()
		if last == nil {
			c.mu.Unlock()
			return ErrFull
		}
		victim := c.lru.Remove(last).(*chunk)
		victim.elem = nil
		c.mu.Unlock()
		if !victim.f.evict(victim) {
			busy = append(busy, victim)
		}
	}
}

// release gives back a reservation.
func (c *Cache) release(n int64) {
	c.mu.Lock()
	c.used -= n
	c.mu.Unlock()
}

func (ch *chunk) pushBack() { // with c.mu
	if ch.elem == nil && ch.bytes > 0 && ch.f.chunkAt(ch.index) == ch {
		ch.elem = ch.f.c.lru.PushBack(ch)
	}
}

// evict takes one chunk away from a file that is held, or all of a file that is not. It
// only tries the file's lock, since its caller may be one of many that make room, each
// for a file of its own.
func (f *File) evict(ch *chunk) bool {
	if !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	c := f.c
	c.mu.Lock()
	if f.dirty || f.chunkAt(ch.index) != ch {
		c.mu.Unlock()
		return true // it is no longer what it was: nothing to evict, nothing to put back
	}
	if !f.held {
		name := c.dropClean(f)
		c.notify()
		c.mu.Unlock()
		if name != "" {
			os.Remove(name)
		}
		return true
	}
	c.mu.Unlock()
	if !f.punch(ch.index) {
		return false
	}
	c.mu.Lock()
	c.used -= ch.bytes
	f.bytes -= ch.bytes
	ch.bytes = 0
	c.notify()
	c.mu.Unlock()
	return true
}

// dropClean forgets a file that is not held, and gives the name that is left to unlink:
// freeing a large file takes time, so it is only moved aside while the books are locked.
func (c *Cache) dropClean(f *File) string { // with c.mu
	if c.clean[f.id] == f {
		delete(c.clean, f.id)
	}
	f.uncount()
	name := c.partialName(f.id)
	if f.whole.Load() {
		name = c.cleanName(f.id)
	}
	aside := filepath.Join(c.dir, "tmp", filepath.Base(name)+"."+randomName())
	if os.Rename(name, aside) != nil {
		return ""
	}
	return aside
}

// punch makes a chunk's blocks missing. With f.mu exclusive.
func (f *File) punch(index int64) bool {
	fd := f.fd.Load()
	if fd == nil {
		return false
	}
	if f.whole.Load() {
		// From now on it is partial, and so must its name be, before a byte of it goes.
		if !f.private() && os.Rename(f.c.cleanName(f.id), f.c.partialName(f.id)) != nil {
			return false
		}
		f.have = newBitmap(blocks(f.size.Load()))
		for i := range blocks(f.size.Load()) {
			f.have.set(i)
		}
		f.missing = 0
		f.whole.Store(false)
	}
	if err := unix.Fallocate(int(fd.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, index*chunkSize, chunkSize); err != nil {
		f.c.log.Warn("cannot free a part of a cached file that is open",
			"event", "cold_cache_punch", "error", err)
		return false
	}
	first := index * (chunkSize / BlockSize)
	for i := first; i < min(first+chunkSize/BlockSize, blocks(f.size.Load())); i++ {
		if f.have.get(i) {
			f.have.clear(i)
			f.missing++
		}
	}
	return true
}

// stamp keeps the order of use for the next process, which reads it from the mtime.
func stamp(fd *os.File) {
	now := unix.NsecToTimeval(time.Now().UnixNano())
	_ = unix.Futimes(int(fd.Fd()), []unix.Timeval{now, now}) // only the order of eviction hangs on it
}

func blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }
