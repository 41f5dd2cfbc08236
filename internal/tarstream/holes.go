package tarstream

import (
	"bytes"
	"os"
)

// holeSize is the block of most file systems: a hole is made of whole ones.
const holeSize = 4 << 10

var zeros [holeSize]byte

// holes writes a new file and leaves blocks of zeros out: a file that takes no room where it
// comes from takes none where it goes.
type holes struct {
	f  *os.File
	at int64
}

func (h *holes) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n := min(len(b)-done, int(holeSize-h.at%holeSize)) // to the end of this block
		if block := b[done : done+n]; n < holeSize || !bytes.Equal(block, zeros[:]) {
			if _, err := h.f.WriteAt(block, h.at); err != nil {
				return done, err
			}
		}
		h.at += int64(n)
		done += n
	}
	return done, nil
}

// close gives the file its length, which may end in a hole.
func (h *holes) close() error { return h.f.Truncate(h.at) }
