package tree

import (
	"bytes"
	"sync"
)

const (
	// holeBlock is what a hole is made of: the block of ext4, XFS and overlayfs on
	// them. A larger block of another file system is allocated whole, no harm done.
	holeBlock = 4 << 10

	// holeMin is the shortest run of zeros worth a hole: below it the extra write
	// costs more than the blocks.
	holeMin = 16 << 10
)

var zeroBlock [holeBlock]byte

// slot is the piece of a file in which marks keeps one mark.
const slot = 1 << 20

// marks say how far each slot of a file was written. What is beyond its mark is a hole
// still, and zeros need not be written there. Below it they must be: a range that came
// damaged is written again, over what came first.
type marks struct {
	mu sync.Mutex
	at map[int64]int64 // end of what was written, by slot
}

// fresh says whether [off, off+n), which lies in one slot, was never written, and notes
// that it is now.
func (m *marks) fresh(off, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := off / slot
	end, ok := m.at[k]
	if m.at == nil {
		m.at = map[int64]int64{}
	}
	m.at[k] = max(end, off+n)
	return !ok || off >= end
}

// run splits the beginning of b into zeros that need not be written and data to write.
// Both ends of a hole may lie anywhere in a block: what is not written is zero.
func run(b []byte) (skip, take int) {
	if len(b) < holeMin {
		return 0, len(b)
	}
	if n := zeros(b); n >= holeMin || n == len(b) {
		return n, 0
	}
	// Data: up to where the next hole begins, looked for in steps.
	for at := holeBlock; at < len(b); {
		n := zeros(b[at:])
		if n >= holeMin || n == len(b)-at && n >= holeBlock {
			return 0, at
		}
		at += n + holeBlock
	}
	return 0, len(b)
}

// zeros counts the zeros that b begins with.
func zeros(b []byte) int {
	n := 0
	for n+holeBlock <= len(b) && bytes.Equal(b[n:n+holeBlock], zeroBlock[:]) {
		n += holeBlock
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}
