package sqlite

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// The write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

const (
	walMagic       = 0x377f0682 // its lowest bit says that checksums are big-endian
	walVersion     = 3007000
	walHeaderSize  = 32
	walFrameHeader = 24
)

var be = binary.BigEndian

// errLog says that the log is not what its index says of it.
var errLog = fmt.Errorf("%w: its write-ahead log does not agree with the log's index", ErrChanged)

// wal is the header of a log.
type wal struct {
	order    binary.ByteOrder // of the checksums
	pageSize int
	salt     [8]byte
	sum      checksum
}

// checksum is the state of a log's running checksum.
type checksum struct{ a, b uint32 }

// add takes in pairs of words; len(p) is a multiple of eight.
func (c checksum) add(order binary.ByteOrder, p []byte) checksum {
	for ; len(p) >= 8; p = p[8:] {
		c.a += order.Uint32(p) + c.b
		c.b += order.Uint32(p[4:]) + c.a
	}
	return c
}

func (c checksum) is(p []byte) bool { return c.a == be.Uint32(p) && c.b == be.Uint32(p[4:]) }

// parseWAL reads a log's header. Not ok: SQLite would take the log for empty.
func parseWAL(h []byte) (w wal, ok bool) {
	if len(h) < walHeaderSize || be.Uint32(h)&^1 != walMagic || be.Uint32(h[4:]) != walVersion {
		return w, false
	}
	w.order = binary.ByteOrder(binary.LittleEndian)
	if h[3]&1 == 1 {
		w.order = be
	}
	size := be.Uint32(h[8:])
	if !validPageSize(size) {
		return w, false
	}
	w.pageSize = int(size)
	copy(w.salt[:], h[16:24])
	w.sum = w.sum.add(w.order, h[:24])
	return w, w.sum.is(h[24:])
}

func validPageSize(n uint32) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

// frame is one page in a log.
type frame struct {
	number uint32 // from 1
	page   uint32 // of the database, from 1
	commit uint32 // the database's size in pages after the transaction that this frame ends; else 0
	data   []byte // until the next frame
}

// frames hands over the valid frames in their order, up to a number of them.
func (w *wal) frames(ctx context.Context, r io.ReaderAt, most uint32, f func(frame) error) error {
	size := int64(walFrameHeader + w.pageSize)
	in := bufio.NewReaderSize(io.NewSectionReader(r, walHeaderSize, int64(most)*size), bufferSize)
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
		if page == 0 || [8]byte(b[8:16]) != w.salt || !sum.is(b[16:]) {
			return nil // left from before the log was begun anew, or torn
		}
		if err := f(frame{number: n, page: page, commit: be.Uint32(b[4:]), data: b[walFrameHeader:]}); err != nil {
			return err
		}
	}
	return nil
}

// lastCommit finds the end of the last whole transaction, as recovery does.
func (w *wal) lastCommit(ctx context.Context, r io.ReaderAt, size int64) (last uint32, err error) {
	most := min(max(size-walHeaderSize, 0)/int64(walFrameHeader+w.pageSize), 1<<32-1)
	err = w.frames(ctx, r, uint32(most), func(f frame) error {
		if f.commit > 0 {
			last = f.number
		}
		return nil
	})
	return last, err
}

// apply writes the frames up to last, which ends a transaction, into a copy of the database, and
// gives the database's size then.
func (w *wal) apply(ctx context.Context, r io.ReaderAt, last uint32, to io.WriterAt) (size int64, err error) {
	return w.pages(ctx, r, last, func(page uint32, _ int64, data []byte) error {
		_, err := to.WriteAt(data, int64(page-1)*int64(w.pageSize))
		return err
	})
}

// pages hands over the pages of the frames up to last, which ends a transaction, and where they are in
// the log; later ones of the same page replace earlier ones. It gives the database's size then.
func (w *wal) pages(ctx context.Context, r io.ReaderAt, last uint32, f func(page uint32, at int64, data []byte) error) (size int64, err error) {
	seen := uint32(0)
	err = w.frames(ctx, r, last, func(fr frame) error {
		seen, size = fr.number, int64(fr.commit)*int64(w.pageSize)
		return f(fr.page, walHeaderSize+int64(fr.number-1)*int64(walFrameHeader+w.pageSize)+walFrameHeader, fr.data)
	})
	if err == nil && (seen != last || size == 0) {
		err = fmt.Errorf("%w: %d of %d frames are whole", errLog, seen, last)
	}
	return size, err
}

const bufferSize = 256 << 10
