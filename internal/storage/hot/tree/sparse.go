package tree

import "bytes"

const (
	// holeBlock is what a hole is made of: the block of ext4, XFS and overlayfs on
	// them. A larger block of another file system is allocated whole, no harm done.
	holeBlock = 4 << 10

	// holeMin is the shortest run of zeros worth a hole: below it the extra write
	// costs more than the blocks.
	holeMin = 16 << 10
)

var zeroBlock [holeBlock]byte

// run splits the beginning of b, which belongs at off, into a hole to skip and data
// to write. Only whole aligned blocks of zeros are skipped.
func run(b []byte, off int64) (skip, take int) {
	if len(b) < holeMin {
		return 0, len(b)
	}
	if n := zeros(b, off); n >= holeMin {
		return n, 0
	}
	// Data: up to where the next hole begins.
	at := int(-off & (holeBlock - 1))
	for at < len(b) {
		n := zeros(b[at:], off+int64(at))
		if n >= holeMin && at > 0 {
			return 0, at
		}
		at += max(n, holeBlock)
	}
	return 0, len(b)
}

// zeros counts the bytes of whole aligned zero blocks that b begins with.
func zeros(b []byte, off int64) int {
	if off&(holeBlock-1) != 0 {
		return 0
	}
	n := 0
	for n+holeBlock <= len(b) && bytes.Equal(b[n:n+holeBlock], zeroBlock[:]) {
		n += holeBlock
	}
	return n
}
