package cold

import (
	"github.com/matrx/sandbox/internal/storage/cold/cache"
)

const (
	// firstAhead and maxAhead bound the read-ahead of a handle that reads one part after the
	// other: twice what it has read that way. It lies on the disk, not in memory.
	firstAhead = 1 << 20
	maxAhead   = 64 << 20

	// partSize is the largest range that one GET brings, and parts how many of them of one
	// file run at a time: enough to fill a connection to S3 at 20 ms.
	partSize = 8 << 20
	parts    = 8

	// nearby is how far from the expected place a read may be and still count as one after
	// the other: the kernel has several of its own read-aheads under way.
	nearby = 1 << 20
)

// cursor is where a handle reads. It is guarded by the handle's own lock.
type cursor struct {
	begun bool
	next  int64
	run   int64 // bytes read one after the other
	ahead int64 // how far to read ahead; 0: reads are at random
}

// advance notes a read and says up to where to read ahead, which is its own end when that is not
// worth it. limit is the most to read ahead.
func (p *cursor) advance(off, end, limit int64) int64 {
	near := off <= p.next+nearby && off >= p.next-nearby
	switch {
	case !p.begun:
		p.begun, near = true, off == 0
		fallthrough
	case near && end > p.next:
		if near {
			p.run += max(0, end-p.next)
			p.ahead = min(max(2*p.run, firstAhead), limit)
		}
	case !near:
		p.run, p.ahead = 0, 0
	}
	if near {
		p.next = max(p.next, end)
	} else {
		p.next = end
	}
	if p.ahead == 0 {
		return end
	}
	return p.next + p.ahead
}

// expect begins to fetch what is missing of a range, in parts.
func (c *content) expect(off, end int64) {
	size := c.file.Size()
	end = min(end, size)
	least := min(partSize, max(firstAhead, (end-off)/2))
	for off < end {
		lack, any := c.file.Missing(off, end)
		if !any {
			return
		}
		c.mu.Lock()
		if e := c.covering(lack.Off); e != nil {
			off = e.end
			c.mu.Unlock()
			continue
		}
		if len(c.extents) >= parts || c.err != nil {
			c.mu.Unlock()
			return
		}
		stop := min(lack.End, lack.Off-lack.Off%partSize+partSize)
		if stop-lack.Off < least && stop >= end && end < size && off > 0 {
			c.mu.Unlock()
			return // the window's edge: it is worth a request when the window has moved on
		}
		if e := c.start(lack.Off, stop); e != nil {
			off = e.end
		} else {
			off = stop
		}
		c.mu.Unlock()
	}
}

// missLength is how much a read at random fetches: a block at first, and more the more of the
// file is read that way, since it is then likely to be read all over. With mu.
func (c *content) missLength() int64 {
	c.misses++
	size := c.file.Size()
	if size <= firstAhead {
		return size
	}
	_, _, limit := c.in.cache.Used()
	if size > limit/2 {
		return cache.BlockSize
	}
	return min(int64(partSize), int64(cache.BlockSize)<<min(c.misses/8, 6))
}
