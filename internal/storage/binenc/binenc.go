// Package binenc is the one binary encoding of the files that the storage process keeps on the
// disk and in S3: unsigned and signed varints (encoding/binary), strings with their length in
// front, fixed arrays as they are, and ETags.
//
// A format that is built on it owns the order of its fields and its version; this package
// owns how one field looks. The encoding of a field never changes: files of released versions
// have to stay readable.
//
// A [Reader] never panics and never reads past its input, which may be any bytes: after the first
// mistake every field reads as zero and Err is set. So a decoder reads all fields of a record
// without a check in between, and looks at Err once.
package binenc

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrDamaged is the error of input that was not written by this package.
var ErrDamaged = errors.New("damaged record")

// AppendString appends the length of s in bytes and s.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBool appends one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Marks of an ETag's first byte. Others are the length of a text, plus etagText.
const (
	etagNone = 0
	etagMD5  = 1
	etagText = 1
)

// AppendETag appends an ETag without quotes. The usual form, an MD5 in 32 lower-case hexadecimal
// digits (S3, "Common response headers"), takes 17 bytes.
func AppendETag(b []byte, etag string) []byte {
	if etag == "" {
		return append(b, etagNone)
	}
	if sum, ok := PackMD5(etag); ok {
		return append(append(b, etagMD5), sum[:]...)
	}
	return append(binary.AppendUvarint(b, uint64(len(etag))+etagText), etag...)
}

// PackMD5 gives the 16 bytes of an ETag that is an MD5 in lower-case hexadecimal digits. ok is
// false for every other text, so that hex.EncodeToString gives exactly the ETag back.
func PackMD5(etag string) (sum [16]byte, ok bool) {
	if len(etag) != 2*len(sum) {
		return sum, false
	}
	for i := range len(etag) {
		if c := etag[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return sum, false
		}
	}
	_, err := hex.Decode(sum[:], []byte(etag))
	return sum, err == nil
}

// Reader reads fields in the order in which they were appended. The zero Reader is at its end.
type Reader struct {
	b      []byte
	err    error
	padded bool
}

// NewReader reads b, which must not change meanwhile. A field that is missing is a mistake.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// NewPaddedReader reads b as if zeros followed it without end: for records whose later versions have
// more fields than earlier ones. A field that is there in part is a mistake all the same.
func NewPaddedReader(b []byte) *Reader { return &Reader{b: b, padded: true} }

// Err is the first mistake, nil as long as there was none.
func (r *Reader) Err() error { return r.err }

// Fail notes a mistake that the caller found in a field's value. It wraps ErrDamaged; the
// first mistake counts.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

func (r *Reader) atPaddedEnd() bool { return r.padded && len(r.b) == 0 && r.err == nil }

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	if r.err != nil || r.atPaddedEnd() {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail("a number is missing or too long")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	u := r.Uvarint() // zigzag, as binary.AppendVarint writes it
	return int64(u>>1) ^ -int64(u&1)
}

// Number reads an unsigned number from 0 to limit; a larger one is a mistake.
func (r *Reader) Number(limit int64) int64 {
	v := r.Uvarint()
	if v > uint64(limit) {
		r.Fail("the number %d is above %d", v, limit)
		return 0
	}
	return int64(v)
}

// Bytes reads the next n bytes. They are part of the input, not a copy; nil after a mistake.
func (r *Reader) Bytes(n uint64) []byte {
	if r.err != nil || n == 0 {
		return nil
	}
	if n > uint64(len(r.b)) {
		r.Fail("%d bytes are missing", n-uint64(len(r.b)))
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// Fixed reads as many bytes as to has; after a mistake to is left as it is.
func (r *Reader) Fixed(to []byte) {
	if !r.atPaddedEnd() {
		copy(to, r.Bytes(uint64(len(to))))
	}
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	var b [1]byte
	r.Fixed(b[:])
	return b[0]
}

// Bool reads what AppendBool wrote. Any byte but 1 is false.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// String reads what AppendString wrote.
func (r *Reader) String() string { return string(r.Bytes(r.Uvarint())) }

// Text reads a string of at most limit bytes; a longer one is a mistake.
func (r *Reader) Text(limit int64) string { return string(r.Bytes(uint64(r.Number(limit)))) }

// ETag reads what AppendETag wrote.
func (r *Reader) ETag() string {
	switch n := r.Uvarint(); n {
	case etagNone:
		return ""
	case etagMD5:
		return hex.EncodeToString(r.Bytes(16))
	default:
		return string(r.Bytes(n - etagText))
	}
}
