package attrindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"sort"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

const (
	tableMagic = "coldidx1"
	blockSize  = 8 << 10
	maxBlock   = 64 << 10 // a block holds one entry at least, of some 6 KiB at most
)

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// table is a sorted file:
//
//	8  magic
//	   blocks: 4 length, 4 CRC-32C, entries of which the first shares nothing
//	   directory, as a block: for each block its offset and its first key
//	8  offset of the directory, big endian
//	8  magic
type table struct {
	f      *os.File
	size   int64
	firsts []string // of each block
	offs   []int64  // and where the directory is

	cached  int // the block that was read last; -1: none
	entries []Entry
}

// writeTable writes a table of entries that come in the order of their keys, each once.
func writeTable(w io.Writer, entries iter.Seq2[Entry, error]) (count int, err error) {
	out := &tableWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.write([]byte(tableMagic))
	before := ""
	for e, err := range entries {
		if err != nil {
			return 0, err
		}
		if len(out.block) == 0 {
			before = ""
			out.dir = binary.AppendUvarint(out.dir, uint64(out.n))
			out.dir = binenc.AppendString(out.dir, e.Key)
		}
		out.block = e.encode(out.block, before)
		before = e.Key
		count++
		if len(out.block) >= blockSize {
			out.flush(out.block)
			out.block = out.block[:0]
		}
	}
	if len(out.block) > 0 {
		out.flush(out.block)
	}
	at := out.n
	out.flush(out.dir)
	out.write(append(binary.BigEndian.AppendUint64(nil, uint64(at)), tableMagic...))
	return count, errors.Join(out.err, out.w.Flush())
}

type tableWriter struct {
	w     *bufio.Writer
	n     int64
	block []byte
	dir   []byte
	err   error
}

func (t *tableWriter) write(b []byte) {
	n, err := t.w.Write(b)
	t.n += int64(n)
	if t.err == nil {
		t.err = err
	}
}

func (t *tableWriter) flush(b []byte) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	t.write(binary.BigEndian.AppendUint32(head, castagnoli(b)))
	t.write(b)
}

// openTable reads a table's directory.
func openTable(name string) (*table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	t := &table{f: f, cached: -1}
	if err := t.readDirectory(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (t *table) readDirectory() error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	t.size = info.Size()
	end := make([]byte, 16)
	if _, err := t.f.ReadAt(end, t.size-16); err != nil {
		return binenc.ErrDamaged
	}
	at := int64(binary.BigEndian.Uint64(end))
	if string(end[8:]) != tableMagic || at < int64(len(tableMagic)) || at > t.size-16-8 {
		return binenc.ErrDamaged
	}
	dir, err := t.read(at, t.size-16)
	if err != nil {
		return err
	}
	r := binenc.NewReader(dir)
	for r.Len() > 0 {
		off, first := int64(r.Uvarint()), r.String()
		if off >= at {
			return binenc.ErrDamaged
		}
		t.offs, t.firsts = append(t.offs, off), append(t.firsts, first)
	}
	t.offs = append(t.offs, at)
	return r.Err()
}

// read reads one checked block that ends before end.
func (t *table) read(off, end int64) ([]byte, error) {
	var head [8]byte
	if _, err := t.f.ReadAt(head[:], off); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if off+8+n > end {
		return nil, binenc.ErrDamaged
	}
	b := make([]byte, n)
	if _, err := t.f.ReadAt(b, off+8); err != nil {
		return nil, err
	}
	if castagnoli(b) != binary.BigEndian.Uint32(head[4:]) {
		return nil, binenc.ErrDamaged
	}
	return b, nil
}

// load reads the entries of a block.
func (t *table) load(i int) error {
	if t.cached == i {
		return nil
	}
	t.cached = -1
	b, err := t.read(t.offs[i], t.offs[i+1])
	if err != nil {
		return err
	}
	t.entries = t.entries[:0]
	before := ""
	for r := binenc.NewReader(b); r.Len() > 0; {
		e := readEntry(r, before)
		if r.Err() != nil {
			return r.Err()
		}
		t.entries = append(t.entries, e)
		before = e.Key
	}
	t.cached = i
	return nil
}

// find looks a key up.
func (t *table) find(key string) (Entry, bool, error) {
	i := sort.SearchStrings(t.firsts, key)
	if i == len(t.firsts) || t.firsts[i] != key {
		i--
	}
	if i < 0 {
		return Entry{}, false, nil
	}
	if err := t.load(i); err != nil {
		return Entry{}, false, err
	}
	j := sort.Search(len(t.entries), func(j int) bool { return t.entries[j].Key >= key })
	if j < len(t.entries) && t.entries[j].Key == key {
		return t.entries[j], true, nil
	}
	return Entry{}, false, nil
}

// all gives every entry in order, from a reader of its own.
func (t *table) all() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		own := &table{f: t.f, size: t.size, firsts: t.firsts, offs: t.offs, cached: -1}
		for i := range own.firsts {
			if err := own.load(i); err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range own.entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (t *table) close() error { return t.f.Close() }
