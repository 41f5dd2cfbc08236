package cache

import (
	"os"

	"golang.org/x/sys/unix"
)

// books is what the cache counts of a file. It is guarded by Cache.mu.
type books struct {
	c  *Cache
	of *File

	held   bool
	bytes  int64
	chunks []*chunk // of a clean file
}

// account books what a dirty file occupies now; reserved is what was booked beforehand.
func (b *books) account(fd *os.File, reserved int64) {
	now := b.bytes
	if fd != nil {
		var st unix.Stat_t
		if unix.Fstat(int(fd.Fd()), &st) == nil {
			now = st.Blocks * 512
		}
	}
	c := b.c
	c.mu.Lock()
	c.used += now - b.bytes - reserved
	c.dirty += now - b.bytes
	if now < b.bytes {
		c.notify()
	}
	b.bytes = now
	c.mu.Unlock()
}

// countWhole books a clean file that is all here. What is sparse on disk is counted as it is.
func (b *books) countWhole(size int64) { // with c.mu
	n := (size + chunkSize - 1) / chunkSize
	b.chunks = make([]*chunk, n)
	for i := range n {
		b.chunks[i] = &chunk{f: b.of, index: i}
		b.book(i, min(chunkSize, size-i*chunkSize))
	}
}

// book counts n more bytes of a clean chunk as here. The used total has them already when
// they were reserved; see Fill.
func (b *books) book(index, n int64) { // with c.mu
	ch := b.chunks[index]
	if ch == nil {
		ch = &chunk{f: b.of, index: index}
		b.chunks[index] = ch
	}
	ch.bytes += n
	b.bytes += n
	b.c.used += n
	if ch.elem == nil {
		ch.elem = b.c.lru.PushFront(ch)
	}
}

// uncount takes a clean file off the books.
func (b *books) uncount() { // with c.mu
	for _, ch := range b.chunks {
		if ch != nil && ch.elem != nil {
			b.c.lru.Remove(ch.elem)
			ch.elem = nil
		}
	}
	b.chunks = nil
	b.c.used -= b.bytes
	b.bytes = 0
}

func (b *books) chunkAt(i int64) *chunk { // with c.mu
	if i < int64(len(b.chunks)) {
		return b.chunks[i]
	}
	return nil
}

// touch marks the chunks of a range as used just now.
func (b *books) touch(off, n int64) {
	c := b.c
	c.mu.Lock()
	for i := off / chunkSize; i <= (off+n-1)/chunkSize && i < int64(len(b.chunks)); i++ {
		if ch := b.chunks[i]; ch != nil && ch.elem != nil {
			c.lru.MoveToFront(ch.elem)
		}
	}
	c.mu.Unlock()
}

// countLess corrects the books for a sparse file: its chunks share what it occupies.
func (b *books) countLess(n int64) { // with c.mu
	each := n / int64(len(b.chunks))
	for _, ch := range b.chunks {
		less := min(each, ch.bytes-1)
		ch.bytes -= less
		b.bytes -= less
		b.c.used -= less
	}
}
