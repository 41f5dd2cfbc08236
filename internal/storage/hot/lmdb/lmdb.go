// Package lmdb reads an LMDB environment that other processes may be writing to, as it was after a
// whole number of transactions. It links no LMDB library; the layout is that of lmdb.h and mdb.c of
// LMDB 0.9 and 1.0, data version 1.
//
// # Why a copy is consistent
//
// LMDB never writes to a page that its newest transaction can reach: what a transaction changes goes to
// pages that are free, and then one of two meta pages, by turns, names the new roots. A page becomes free
// for the transaction after the one that no longer uses it. So while the newest transaction is T, no
// page of T is written to while a process writes T+1: a copy during which T stayed the newest
// has all of T. In the copy the meta pages are those of the beginning, so that what was written for T+1
// is free space in it. A clone, which is one instant, needs no more than that.
//
// The lock file (lock.mdb, or NAME-lock) has readers and mutexes of processes of this machine, and
// nothing else: the first process to open an environment makes it anew, and keeps nothing of it.
package lmdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
)

// ErrChanged says that a transaction was committed while the environment was copied.
var ErrChanged = errors.New("a transaction was committed while the environment was copied")

// HeaderSize is how much of a file [Is] wants to see: the first meta page, without what follows it.
const HeaderSize = pageHeader + metaSize

const (
	magic       = 0xbeefc0de
	dataVersion = 1

	// A meta page is a page header (pgno, pad, flags, lower, upper) and a struct MDB_meta: magic, version,
	// address, map size, two databases of 48 bytes, last page, transaction. Of a 64-bit process, whose
	// files those of 32 bits cannot read.
	pageHeader = 16
	pageSizeAt = pageHeader + 24 // md_pad of the first database
	lastPageAt = pageHeader + 24 + 2*48
	txnAt      = lastPageAt + 8
	metaSize   = txnAt + 8 - pageHeader
	metaFlag   = 0x08
	smallest   = 512
	largest    = 65536
)

// Is tells whether a file begins as the data file of an environment does.
func Is(header []byte) bool {
	_, ok := parse(header)
	return ok
}

// meta is a meta page.
type meta struct {
	pageSize int64
	lastPage uint64
	txn      uint64
}

func parse(b []byte) (m meta, ok bool) {
	ne := binary.NativeEndian
	if len(b) < HeaderSize || ne.Uint16(b[10:])&metaFlag == 0 || ne.Uint32(b[pageHeader:]) != magic || ne.Uint32(b[pageHeader+4:]) != dataVersion {
		return m, false
	}
	m = meta{pageSize: int64(ne.Uint32(b[pageSizeAt:])), lastPage: ne.Uint64(b[lastPageAt:]), txn: ne.Uint64(b[txnAt:])}
	return m, m.pageSize >= smallest && m.pageSize <= largest && m.pageSize&(m.pageSize-1) == 0 && m.lastPage < 1<<47/uint64(m.pageSize)
}

// metas are both meta pages.
type metas struct {
	raw    [2][]byte
	newest meta
}

// readMetas reads them until two readings are the same: no process is writing one then.
func readMetas(r io.ReaderAt) (m metas, err error) {
	for range 3 {
		if m, err = readOnce(r); err != nil {
			return m, err
		}
		again, err := readOnce(r)
		if err != nil {
			return m, err
		}
		if bytes.Equal(m.raw[0], again.raw[0]) && bytes.Equal(m.raw[1], again.raw[1]) {
			return m, nil
		}
	}
	return m, ErrChanged
}

func readOnce(r io.ReaderAt) (m metas, err error) {
	size := int64(smallest) // of the first page at least; it says how large it is
	for i := range m.raw {
		m.raw[i] = make([]byte, HeaderSize)
		if _, err := r.ReadAt(m.raw[i], int64(i)*size); err != nil {
			return m, err
		}
		p, ok := parse(m.raw[i])
		switch {
		case !ok:
			return m, errors.New("not an LMDB environment")
		case i == 0:
			size = p.pageSize
			m.newest = p
		case p.txn > m.newest.txn:
			m.newest = p
		}
	}
	return m, nil
}

// Copy writes the environment to f. It gives the size: that of the pages which the newest transaction
// uses. ErrChanged when a transaction was committed meanwhile.
func Copy(ctx context.Context, r io.ReaderAt, f io.WriterAt) (size int64, err error) {
	before, err := readMetas(r)
	if err != nil {
		return 0, err
	}
	if err := copyPages(ctx, r, f, before.size()); err != nil {
		return 0, err
	}
	after, err := readMetas(r)
	if err != nil {
		return 0, err
	}
	if after.newest.txn != before.newest.txn {
		return 0, ErrChanged
	}
	for i, b := range before.raw {
		if _, err := f.WriteAt(b, int64(i)*before.newest.pageSize); err != nil {
			return 0, err
		}
	}
	return before.size(), nil
}

func (m metas) size() int64 { return int64(m.newest.lastPage+1) * m.newest.pageSize }

func copyPages(ctx context.Context, r io.ReaderAt, f io.WriterAt, size int64) error {
	b := make([]byte, 256<<10)
	for off := int64(0); off < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.ReadAt(b[:min(int64(len(b)), size-off)], off)
		if _, werr := f.WriteAt(b[:n], off); werr != nil {
			return werr
		}
		off += int64(n)
		if err == io.EOF && off < size {
			return nil // the last pages were never written: they are free
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}
