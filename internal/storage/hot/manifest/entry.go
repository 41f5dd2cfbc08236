package manifest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
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

// ErrMalformed is the error of a manifest that this code did not write, or that was
// changed since.
var ErrMalformed = errors.New("malformed manifest")

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
	var md5 [16]byte
	var flags byte
	if packMD5(&md5, e.ETag) {
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
	b = appendString(b, e.Key[shared:])
	if flags&flagMD5 != 0 {
		b = append(b, md5[:]...)
	} else {
		b = appendString(b, e.ETag)
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
func (c *coder) read(d *decoder, first bool, bundle int64) (e Entry) {
	flags := d.byte()
	if flags&^flagsKnown != 0 {
		d.fail("unknown flags %#x", flags)
	}
	shared := d.number(int64(len(c.key)))
	suffix := d.bytes(d.number(maxKey))
	e.Key = c.key[:shared] + string(suffix)
	if e.Key == "" || !first && e.Key <= c.key {
		d.fail("key %q follows %q", e.Key, c.key)
	}
	if flags&flagMD5 != 0 {
		e.ETag = hex.EncodeToString(d.bytes(16))
	} else {
		e.ETag = string(d.bytes(d.number(maxETag)))
	}
	e.Size = d.number(maxSize)
	e.Mode = uint32(d.number(0o177777))
	e.Mtime = d.varint()
	if e.Hashed = flags&flagHashed != 0; e.Hashed {
		copy(e.SHA256[:], d.bytes(32))
	}
	if e.Bundled = flags&flagBundled != 0; e.Bundled {
		e.Offset = c.end + d.number(maxSize)
		c.end = e.Offset + e.Size
		if c.end > bundle || !e.Hashed || e.Size > maxContent {
			d.fail("key %q cannot be in the bundle", e.Key)
		}
	}
	c.key = e.Key
	return e
}

// packMD5 stores an ETag that is an MD5 in lower-case hexadecimal.
func packMD5(to *[16]byte, etag string) bool {
	if len(etag) != 32 {
		return false
	}
	for i := range len(etag) {
		if c := etag[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(to[:], []byte(etag))
	return err == nil
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads fields. After the first mistake everything is zero and err is set.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		d.b = nil
	}
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// number reads an unsigned number of at most limit.
func (d *decoder) number(limit int64) int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(limit) {
		d.fail("a number is missing or too large")
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is missing")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes are valid as long as what is decoded; nil after a mistake.
func (d *decoder) bytes(n int64) []byte {
	if d.err != nil || n > int64(len(d.b)) {
		d.fail("it ends early")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}
