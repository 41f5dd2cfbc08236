package sqlitefile

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

// LogHeaderSize is how much of a log ParseLog wants to see, in bytes.
const LogHeaderSize = 32

const (
	walMagic       = 0x377f0682 // its lowest bit says that checksums are big-endian
	walVersion     = 3007000
	walFrameHeader = 24
)

var be = binary.BigEndian

// errLog says that a log has not as many whole frames as was said of it.
var errLog = errors.New("the write-ahead log does not agree with its index")

// Log is the header of a write-ahead log.
type Log struct {
	order    binary.ByteOrder // of the checksums
	PageSize int
	Salt     [8]byte
	sum      Checksum
}

// Checksum is the state of a log's running checksum.
type Checksum struct{ A, B uint32 }

// add takes in pairs of words; len(p) is a multiple of eight.
func (c Checksum) add(order binary.ByteOrder, p []byte) Checksum {
	for ; len(p) >= 8; p = p[8:] {
		c.A += order.Uint32(p) + c.B
		c.B += order.Uint32(p[4:]) + c.A
	}
	return c
}

func (c Checksum) is(p []byte) bool { return c.A == be.Uint32(p) && c.B == be.Uint32(p[4:]) }

// ParseLog reads a log's header. Not ok: SQLite would take the log for empty.
func ParseLog(h []byte) (w Log, ok bool) {
	if len(h) < LogHeaderSize || be.Uint32(h)&^1 != walMagic || be.Uint32(h[4:]) != walVersion {
		return w, false
	}
	w.order = binary.ByteOrder(binary.LittleEndian)
	if h[3]&1 == 1 {
		w.order = be
	}
	size := be.Uint32(h[8:])
	if !ValidPageSize(size) {
		return w, false
	}
	w.PageSize = int(size)
	copy(w.Salt[:], h[16:24])
	w.sum = w.sum.add(w.order, h[:24])
	return w, w.sum.is(h[24:])
}

// ValidPageSize tells whether SQLite has pages of n bytes.
func ValidPageSize(n uint32) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

// frame is one page in a log.
type frame struct {
	number uint32 // from 1
	page   uint32 // of the database, from 1
	commit uint32 // the database's size in pages after the transaction that this frame ends; else 0
	data   []byte // until the next frame
}

// frames hands over the valid frames in their order, up to a number of them.
func (w *Log) frames(ctx context.Context, r io.ReaderAt, most uint32, f func(frame) error) error {
	size := int64(walFrameHeader + w.PageSize)
	in := bufio.NewReaderSize(io.NewSectionReader(r, LogHeaderSize, int64(most)*size), bufferSize)
	b := make([]byte, size)
	sum := w.sum
	for n := uint32(1); n <= most; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := io.ReadFull(in, b); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil // a frame that is being written
		} else if err != nil {
			return err
		}
		page := be.Uint32(b)
		sum = sum.add(w.order, b[:8]).add(w.order, b[walFrameHeader:])
		if page == 0 || [8]byte(b[8:16]) != w.Salt || !sum.is(b[16:]) {
			return nil // left from before the log was begun anew, or torn
		}
		if err := f(frame{number: n, page: page, commit: be.Uint32(b[4:]), data: b[walFrameHeader:]}); err != nil {
			return err
		}
	}
	return nil
}

// LastCommit finds the end of the last whole transaction, as recovery does.
func (w *Log) LastCommit(ctx context.Context, r io.ReaderAt, size int64) (last uint32, err error) {
	most := min(max(size-LogHeaderSize, 0)/int64(walFrameHeader+w.PageSize), 1<<32-1)
	err = w.frames(ctx, r, uint32(most), func(f frame) error {
		if f.commit > 0 {
			last = f.number
		}
		return nil
	})
	return last, err
}

// Apply writes the frames up to last, which ends a transaction, into a copy of the database, and
// gives the database's size then.
func (w *Log) Apply(ctx context.Context, r io.ReaderAt, last uint32, to io.WriterAt) (size int64, err error) {
	return w.Pages(ctx, r, last, func(page uint32, _ int64, data []byte) error {
		_, err := to.WriteAt(data, int64(page-1)*int64(w.PageSize))
		return err
	})
}

// Pages hands over the pages of the frames up to last, which ends a transaction, and where they are in
// the log; later ones of the same page replace earlier ones. It gives the database's size then.
func (w *Log) Pages(ctx context.Context, r io.ReaderAt, last uint32, f func(page uint32, at int64, data []byte) error) (size int64, err error) {
	seen := uint32(0)
	err = w.frames(ctx, r, last, func(fr frame) error {
		seen, size = fr.number, int64(fr.commit)*int64(w.PageSize)
		return f(fr.page, LogHeaderSize+int64(fr.number-1)*int64(walFrameHeader+w.PageSize)+walFrameHeader, fr.data)
	})
	if err == nil && (seen != last || size == 0) {
		err = fmt.Errorf("%w: %d of %d frames are whole", errLog, seen, last)
	}
	return size, err
}

const bufferSize = 256 << 10
