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
		n := h.upToHole(b[done:])
		if n == 0 {
			n = holeSize
		} else if _, err := h.f.WriteAt(b[done:done+n], h.at); err != nil {
			return done, err
		}
		h.at += int64(n)
		done += n
	}
	return done, nil
}

// upToHole is how much of b, which comes next, is before the next whole block of zeros: it is written at once.
func (h *holes) upToHole(b []byte) int {
	for at := 0; at < len(b); {
		n := min(len(b)-at, int(holeSize-(h.at+int64(at))%holeSize)) // to the end of this block
		if n == holeSize && bytes.Equal(b[at:at+n], zeros[:]) {
			return at
		}
		at += n
	}
	return len(b)
}

// close gives the file its length, which may end in a hole.
func (h *holes) close() error { return h.f.Truncate(h.at) }
