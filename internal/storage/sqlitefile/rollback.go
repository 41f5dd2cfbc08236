package sqlitefile

import (
	"bufio"
	"context"
	"io"
)

// The rollback journal: https://www.sqlite.org/fileformat2.html#the_rollback_journal, and
// pager_playback in pager.c for what it leaves open.

const (
	journalMagic      = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
	journalHeaderSize = 28
	noCount           = 0xffffffff // the journal was not synced, and its length says how many records it has
)

// Rollback is a journal whose transaction did not end.
type Rollback struct {
	r    io.ReaderAt
	size int64

	count    int64 // of the pages of the database before the transaction
	PageSize int64
	sector   int64
}

// segment is a part of a journal that was synced: a header, and the records after it.
type segment struct {
	records uint32
	nonce   uint32
	at      int64 // where the records begin
}

// OpenRollback reads the first header. Not ok: SQLite would find nothing to roll back.
func OpenRollback(r io.ReaderAt, size int64) (j *Rollback, ok bool, err error) {
	h, err := Head(r, journalHeaderSize)
	if err != nil || len(h) < journalHeaderSize || string(h[:8]) != journalMagic {
		return nil, false, err
	}
	pages, sector, page := be.Uint32(h[16:]), be.Uint32(h[20:]), be.Uint32(h[24:])
	if !ValidPageSize(page) || sector < 32 || sector > 65536 || sector&(sector-1) != 0 || int64(sector) > size {
		return nil, false, nil
	}
	return &Rollback{r: r, size: size, count: int64(pages), PageSize: int64(page), sector: int64(sector)}, true, nil
}

// segment reads the header at or behind off, which begins a sector.
func (j *Rollback) segment(off int64) (s segment, ok bool, err error) {
	off = (off + j.sector - 1) / j.sector * j.sector
	if off+j.sector > j.size {
		return s, false, nil
	}
	var h [journalHeaderSize]byte
	if _, err := j.r.ReadAt(h[:], off); err == io.EOF {
		return s, false, nil
	} else if err != nil {
		return s, false, err
	}
	if string(h[:8]) != journalMagic {
		return s, false, nil
	}
	s = segment{records: be.Uint32(h[8:]), nonce: be.Uint32(h[12:]), at: off + j.sector}
	if s.records == noCount {
		s.records = uint32(min((j.size-j.sector)/j.recordSize(), noCount-1))
	}
	return s, true, nil
}

func (j *Rollback) recordSize() int64 { return j.PageSize + 8 }

// Before is the database's size before the transaction.
func (j *Rollback) Before() int64 { return j.count * j.PageSize }

// Apply writes the pages as they were before the transaction into a copy of the database, and
// gives the database's size then.
func (j *Rollback) Apply(ctx context.Context, to io.WriterAt) (size int64, err error) {
	return j.Before(), j.Pages(ctx, func(page uint32, _ int64, data []byte) error {
		_, err := to.WriteAt(data, int64(page-1)*j.PageSize)
		return err
	})
}

// Pages hands over the pages as they were before the transaction, and where they are in the journal.
func (j *Rollback) Pages(ctx context.Context, f func(page uint32, at int64, data []byte) error) error {
	for off := int64(0); ; {
		s, ok, err := j.segment(off)
		if err != nil || !ok {
			return err
		}
		whole, err := j.records(ctx, s, f)
		if err != nil || !whole {
			return err
		}
		off = s.at + int64(s.records)*j.recordSize()
	}
}

// records hands over one segment's pages. Not whole: its end is torn, which ends the journal.
func (j *Rollback) records(ctx context.Context, s segment, f func(page uint32, at int64, data []byte) error) (whole bool, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(j.r, s.at, j.size-s.at), bufferSize)
	b := make([]byte, j.recordSize())
	lockPage := PendingByte/j.PageSize + 1
	for n := range s.records {
		if n%256 == 0 && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if _, err := io.ReadFull(in, b); err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil
		} else if err != nil {
			return false, err
		}
		page, data := int64(be.Uint32(b)), b[4:4+j.PageSize]
		if page == 0 || page == lockPage {
			return false, nil
		}
		if page > j.count {
			continue // the transaction added it
		}
		if j.sum(s.nonce, data) != be.Uint32(b[4+j.PageSize:]) {
			return false, nil
		}
		if err := f(uint32(page), s.at+int64(n)*j.recordSize()+4, data); err != nil {
			return false, err
		}
	}
	return true, nil
}

// sum is the Checksum of a record: of every 200th byte, counted from the end (pager_cksum).
func (j *Rollback) sum(nonce uint32, data []byte) uint32 {
	for i := len(data) - 200; i > 0; i -= 200 {
		nonce += uint32(data[i])
	}
	return nonce
}

// SuperName is the name of the super-journal at a journal's end, "" when it has none: the file
// that a transaction over several databases deletes to commit in all of them
// (https://www.sqlite.org/fileformat2.html#the_rollback_journal, readSuperJournal in pager.c).
func (j *Rollback) SuperName() (string, error) {
	const most, tail = 4096, 16
	if j.size < tail {
		return "", nil
	}
	var end [tail]byte
	if _, err := j.r.ReadAt(end[:], j.size-tail); err != nil {
		return "", err
	}
	n, sum := int64(be.Uint32(end[:])), be.Uint32(end[4:])
	if string(end[8:]) != journalMagic || n == 0 || n > most || n > j.size-tail {
		return "", nil
	}
	name := make([]byte, n)
	if _, err := j.r.ReadAt(name, j.size-tail-n); err != nil {
		return "", err
	}
	for _, c := range name {
		sum -= uint32(int8(c))
	}
	if sum != 0 {
		return "", nil
	}
	return string(name), nil
}
