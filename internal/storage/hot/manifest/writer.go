package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

const (
	magic = "matrx-sandbox manifest 2\n"
	end   = "end\n"

	// tailSize are the bytes after the footer: where it begins, the hash, the end.
	tailSize = 8 + sha256.Size + len(end)

	// blockEntries leaves a page of a listing (1,000) room for some new keys.
	blockEntries = 990
)

// Bundle is the object that holds the small contents.
type Bundle struct {
	SHA256 [32]byte
	Size   int64
	ETag   string
}

// Writer writes a manifest, a block at a time.
type Writer struct {
	w      io.Writer
	hash   hash.Hash
	size   int64
	block  []byte
	coder  coder
	count  int // in the block
	blocks []block
	last   string
	err    error
}

// block is where a run of entries is, and what it begins with.
type block struct {
	offset, length int64
	count          int
	first          string
}

// NewWriter begins a manifest.
func NewWriter(w io.Writer) *Writer {
	m := &Writer{w: w, hash: sha256.New()}
	m.write([]byte(magic))
	return m
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.hash.Write(b[:n])
	w.size += int64(n)
	w.err = err
}

// Add appends an entry. Keys rise, and so do the places in the bundle.
func (w *Writer) Add(e *Entry) error {
	if w.err == nil && (e.Key <= w.last || len(e.Key) > maxKey || len(e.ETag) > maxETag || e.Size < 0 || e.Size > maxSize || e.Mode > 0o177777) {
		w.err = fmt.Errorf("cannot put key %q after %q in the manifest", e.Key, w.last)
	}
	if w.count == 0 {
		w.blocks = append(w.blocks, block{offset: w.size, first: e.Key})
		w.coder = coder{}
	}
	if e.Bundled && e.Offset < w.coder.end && w.err == nil {
		w.err = fmt.Errorf("cannot put key %q in the manifest: its place in the bundle is not after the one before", e.Key)
	}
	if w.err != nil {
		return w.err
	}
	w.block = w.coder.append(w.block, e)
	w.last = e.Key
	if w.count++; w.count == blockEntries {
		w.endBlock()
	}
	return w.err
}

func (w *Writer) endBlock() {
	if w.count == 0 {
		return
	}
	b := &w.blocks[len(w.blocks)-1]
	b.length, b.count = int64(len(w.block)), w.count
	w.write(w.block)
	w.block, w.count = w.block[:0], 0
}

// Close writes the rest. asOf is the server's time before the entries were collected, prefix the
// hot prefix whose keys these are; bundle is nil when there is none. It does not close the writer
// below.
func (w *Writer) Close(created, asOf time.Time, prefix string, bundle *Bundle) error {
	w.endBlock()
	at := w.size
	count := 0
	for _, b := range w.blocks {
		count += b.count
	}
	f := binary.AppendVarint(nil, created.UnixNano())
	f = binary.AppendVarint(f, asOf.Unix())
	f = binenc.AppendString(f, prefix)
	f = binary.AppendUvarint(f, uint64(count))
	if bundle == nil {
		f = append(f, 0)
	} else {
		f = append(f, 1)
		f = append(f, bundle.SHA256[:]...)
		f = binary.AppendUvarint(f, uint64(bundle.Size))
		f = binenc.AppendString(f, bundle.ETag)
	}
	f = binary.AppendUvarint(f, uint64(len(w.blocks)))
	for _, b := range w.blocks {
		f = binary.AppendUvarint(f, uint64(b.length))
		f = binary.AppendUvarint(f, uint64(b.count))
		f = binenc.AppendString(f, b.first)
	}
	w.write(binary.LittleEndian.AppendUint64(f, uint64(at)))
	w.write(append(w.hash.Sum(nil), end...))
	return w.err
}

// Size is what was written so far, in bytes.
func (w *Writer) Size() int64 { return w.size }
