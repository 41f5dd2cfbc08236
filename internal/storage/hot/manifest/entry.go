package manifest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Entry is what the manifest knows of an object.
type Entry struct {
	Key     string // below the hot prefix
	ETag    string
	Size    int64
	Mode    uint32 // st_mode with the type bits
	Mtime   int64  // ns since the epoch
	SHA256  [32]byte
	Hashed  bool  // SHA256 is known
	Bundled bool  // the content is in the bundle
	Offset  int64 // there
}

// errMalformed is the error of a manifest that this code did not write, or that was
// changed since.
var errMalformed = errors.New("malformed manifest")

// malformed wraps what a reader of fields says; nil stays nil.
func malformed(r *binenc.Reader) error {
	if r.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errMalformed, r.Err())
}

// Limits of what is believed. S3's own are 1,024 bytes for a key and 5 TiB (since 2025:
// 50 TB) for an object.
const (
	maxKey  = 4 << 10
	maxETag = 256
	maxSize = 1 << 50

	// maxContent is the largest content that a bundle is believed to hold. It is read
	// into memory.
	maxContent = 1 << 20
)

const (
	flagMD5 = 1 << iota
	flagHashed
	flagBundled
	flagsKnown = 1<<iota - 1
)

// coder holds what an entry is relative to: the entries before it in its block.
type coder struct {
	key string
	end int64 // in the bundle
}

func (c *coder) append(b []byte, e *Entry) []byte {
	var flags byte
	md5, ok := binenc.PackMD5(e.ETag)
	if ok {
		flags |= flagMD5
	}
	if e.Hashed {
		flags |= flagHashed
	}
	if e.Bundled {
		flags |= flagBundled
	}
	shared := commonPrefix(c.key, e.Key)
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(shared))
	b = binenc.AppendString(b, e.Key[shared:])
	if flags&flagMD5 != 0 {
		b = append(b, md5[:]...)
	} else {
		b = binenc.AppendString(b, e.ETag)
	}
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	if e.Hashed {
		b = append(b, e.SHA256[:]...)
	}
	if e.Bundled {
		b = binary.AppendUvarint(b, uint64(e.Offset-c.end))
		c.end = e.Offset + e.Size
	}
	c.key = e.Key
	return b
}

// read decodes the next entry. bundle is the bundle's size.
func (c *coder) read(d *binenc.Reader, first bool, bundle int64) (e Entry) {
	flags := d.Byte()
	if flags&^flagsKnown != 0 {
		d.Fail("unknown flags %#x", flags)
	}
	shared := d.Number(int64(len(c.key)))
	suffix := d.Bytes(uint64(d.Number(maxKey)))
	e.Key = c.key[:shared] + string(suffix)
	if e.Key == "" || !first && e.Key <= c.key {
		d.Fail("key %q follows %q", e.Key, c.key)
	}
	if flags&flagMD5 != 0 {
		e.ETag = hex.EncodeToString(d.Bytes(16))
	} else {
		e.ETag = d.Text(maxETag)
	}
	e.Size = d.Number(maxSize)
	e.Mode = uint32(d.Number(0o177777))
	e.Mtime = d.Varint()
	if e.Hashed = flags&flagHashed != 0; e.Hashed {
		d.Fixed(e.SHA256[:])
	}
	if e.Bundled = flags&flagBundled != 0; e.Bundled {
		e.Offset = c.end + d.Number(maxSize)
		c.end = e.Offset + e.Size
		if c.end > bundle || !e.Hashed || e.Size > maxContent {
			d.Fail("key %q cannot be in the bundle", e.Key)
		}
	}
	c.key = e.Key
	return e
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
