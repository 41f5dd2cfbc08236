package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Manifest is one that was read and found whole. It is safe for concurrent use.
type Manifest struct {
	Created time.Time // by the writer's clock
	AsOf    time.Time // by the server's clock: what was modified before is as the entries say; in whole seconds
	Prefix  string    // the hot prefix whose keys these are
	Count   int       // of entries
	Bundle  *Bundle   // nil when there is none

	ETag string // of the object; Decode leaves it empty

	r      io.ReaderAt
	close  func() error
	blocks []block
}

// Limits of what is read: some 30 times what 200,000 files take.
const (
	maxManifest = 512 << 20
	maxFooter   = 64 << 20
	maxBlock    = blockEntries * (maxKey + maxETag + 100)
)

// Decode opens a manifest of size bytes, all of which it reads once to check the hash.
func Decode(r io.ReaderAt, size int64) (*Manifest, error) {
	if size < int64(len(magic)+tailSize) || size > maxManifest {
		return nil, fmt.Errorf("%w: it has %d bytes", errMalformed, size)
	}
	head := make([]byte, len(magic))
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if string(head) != magic {
		return nil, fmt.Errorf("%w: it begins with %q", errMalformed, head)
	}
	tail := make([]byte, tailSize)
	if n, err := r.ReadAt(tail, size-int64(tailSize)); n < tailSize {
		return nil, err
	}
	if string(tail[8+sha256.Size:]) != end {
		return nil, fmt.Errorf("%w: it ends early", errMalformed)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, size-sha256.Size-int64(len(end)))); err != nil {
		return nil, err
	}
	if !bytes.Equal(h.Sum(nil), tail[8:8+sha256.Size]) {
		return nil, fmt.Errorf("%w: its SHA-256 is not the one that it says", errMalformed)
	}
	at := int64(min(binary.LittleEndian.Uint64(tail), maxManifest))
	length := size - int64(tailSize) - at
	if at < int64(len(magic)) || length < 0 || length > maxFooter {
		return nil, fmt.Errorf("%w: no footer at %d", errMalformed, at)
	}
	footer := make([]byte, length)
	if n, err := r.ReadAt(footer, at); n < len(footer) {
		return nil, err
	}
	m := &Manifest{r: r}
	return m, m.readFooter(footer, at)
}

func (m *Manifest) readFooter(footer []byte, at int64) error {
	d := binenc.NewReader(footer)
	m.Created, m.AsOf = time.Unix(0, d.Varint()), time.Unix(d.Varint(), 0)
	m.Prefix = d.Text(maxKey)
	m.Count = int(d.Number(maxManifest))
	if d.Byte() == 1 {
		m.Bundle = &Bundle{}
		d.Fixed(m.Bundle.SHA256[:])
		m.Bundle.Size = d.Number(maxSize)
		m.Bundle.ETag = d.Text(maxETag)
	}
	blocks := d.Number(maxManifest)
	offset, count := int64(len(magic)), 0
	for last := ""; blocks > 0 && d.Err() == nil; blocks-- {
		b := block{offset: offset, length: d.Number(maxBlock), count: int(d.Number(blockEntries)), first: d.Text(maxKey)}
		if b.count == 0 || b.first <= last {
			d.Fail("the block of %q follows %q", b.first, last)
		}
		offset += b.length
		count += b.count
		last = b.first
		m.blocks = append(m.blocks, b)
	}
	if d.Err() == nil && (offset != at || count != m.Count || d.Len() > 0) {
		d.Fail("its parts do not add up")
	}
	return malformed(d)
}

// Close lets go of what the manifest is read from.
func (m *Manifest) Close() error {
	if m == nil || m.close == nil {
		return nil
	}
	return m.close()
}

// Blocks is how many blocks there are.
func (m *Manifest) Blocks() int { return len(m.blocks) }

// First is the key with which a block begins.
func (m *Manifest) First(block int) string { return m.blocks[block].first }

// BlockLen is how many entries a block has.
func (m *Manifest) BlockLen(block int) int { return m.blocks[block].count }

var blockBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Block decodes a block.
func (m *Manifest) Block(i int) ([]Entry, error) {
	b := m.blocks[i]
	buf := blockBuffers.Get().(*[]byte)
	defer blockBuffers.Put(buf)
	if int64(cap(*buf)) < b.length {
		*buf = make([]byte, b.length)
	}
	raw := (*buf)[:b.length]
	if n, err := m.r.ReadAt(raw, b.offset); n < len(raw) {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	d := binenc.NewReader(raw)
	var bundle int64
	if m.Bundle != nil {
		bundle = m.Bundle.Size
	}
	var c coder
	entries := make([]Entry, 0, b.count)
	for k := range b.count {
		e := c.read(d, k == 0, bundle)
		if d.Err() != nil {
			return nil, malformed(d)
		}
		entries = append(entries, e)
	}
	if entries[0].Key != b.first || d.Len() > 0 || i+1 < len(m.blocks) && c.key >= m.blocks[i+1].first {
		return nil, fmt.Errorf("%w: the block of %q is not what the footer says", errMalformed, b.first)
	}
	return entries, nil
}
