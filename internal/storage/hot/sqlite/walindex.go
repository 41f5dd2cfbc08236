package sqlite

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// The wal-index: https://www.sqlite.org/walformat.html. It is memory that the processes share,
// in the byte order of the machine, and its header is there twice, so that a reader sees when it
// is being changed.

const (
	indexHeaderSize = 48
	indexVersion    = 3007000
)

// index is what the wal-index says of the log.
type index struct {
	pageSize int
	frames   uint32 // of whole transactions
	copied   uint32 // of them, up to which a checkpoint has written them to the database
	salt     [8]byte
}

// readIndex reads the header. Not ok: a process is changing it, or has still to make it.
func readIndex(shm io.ReaderAt) (x index, ok bool, err error) {
	var b [2*indexHeaderSize + 4]byte
	if _, err := shm.ReadAt(b[:], 0); err == io.EOF {
		return x, false, nil
	} else if err != nil {
		return x, false, err
	}
	x, ok = parseIndex(b[:])
	return x, ok, nil
}

func parseIndex(b []byte) (x index, ok bool) {
	ne := binary.NativeEndian
	h := b[:indexHeaderSize]
	if !bytes.Equal(h, b[indexHeaderSize:2*indexHeaderSize]) || ne.Uint32(h) != indexVersion || h[12] == 0 {
		return x, false
	}
	sum := sqlitefile.Checksum{}
	for p := h[:40]; len(p) >= 8; p = p[8:] {
		sum.A += ne.Uint32(p) + sum.B
		sum.B += ne.Uint32(p[4:]) + sum.A
	}
	if sum.A != ne.Uint32(h[40:]) || sum.B != ne.Uint32(h[44:]) {
		return x, false
	}
	size := uint32(ne.Uint16(h[14:]))
	if size == 1 {
		size = 65536
	}
	x = index{pageSize: int(size), frames: ne.Uint32(h[16:])}
	copy(x.salt[:], h[32:40])
	if len(b) >= 2*indexHeaderSize+4 {
		x.copied = ne.Uint32(b[2*indexHeaderSize:])
	}
	return x, sqlitefile.ValidPageSize(size)
}

// isInDatabase tells whether the log has nothing that the database has not.
func (x index) isInDatabase() bool { return x.copied >= x.frames }

// isLive tells whether a process has the wal-index open.
func isLive(shm *os.File) (bool, error) { return isLocked(shm, span{liveByte, 1}) }
