package attrindex

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Entry is what is known of one version of an object.
type Entry struct {
	Key      string // below the prefix
	ETag     string // empty: the object is gone
	Size     int64
	Modified int64  // seconds since the epoch, S3's clock; good to 2 s
	Mode     uint32 // st_mode with the type bits
	Mtime    int64  // nanoseconds since the epoch
	Target   string // of a symbolic link
}

// Is says that the entry is about a version that a listing shows: the same content, and not
// written since. A store whose copies onto themselves keep Last-Modified shows an earlier one.
func (e *Entry) Is(etag string, size, modified int64) bool {
	return e.ETag == etag && e.Size == size && modified <= e.Modified+2
}

// An entry is its key, of which the first shared bytes are those of the entry before it, then the
// rest. A year 2262 problem is S3's as well: times are varints of nanoseconds.
func (e *Entry) encode(b []byte, before string) []byte {
	shared := 0
	for shared < min(len(before), len(e.Key)) && before[shared] == e.Key[shared] {
		shared++
	}
	b = binary.AppendUvarint(b, uint64(shared))
	b = str(b, e.Key[shared:])
	b = appendETag(b, e.ETag)
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendVarint(b, e.Modified)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	return str(b, e.Target)
}

func str(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendETag packs the usual one, 32 hexadecimal digits, into 16 bytes: a length of 1 stands for it.
func appendETag(b []byte, s string) []byte {
	if raw, err := hex.DecodeString(s); err == nil && len(raw) == 16 && hex.EncodeToString(raw) == s {
		return append(append(b, 1), raw...)
	}
	if s == "" {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

var errDamaged = errors.New("damaged entry")

type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errDamaged
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errDamaged
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) str() string { return string(r.take(r.uvarint())) }

func (r *reader) etag() string {
	switch n := r.uvarint(); n {
	case 0:
		return ""
	case 1:
		return hex.EncodeToString(r.take(16))
	default:
		return string(r.take(n - 1))
	}
}

func (r *reader) entry(before string) Entry {
	shared := r.uvarint()
	if shared > uint64(len(before)) {
		r.b, r.err = nil, errDamaged
		return Entry{}
	}
	return Entry{
		Key: before[:shared] + r.str(), ETag: r.etag(), Size: r.varint(), Modified: r.varint(),
		Mode: uint32(r.uvarint()), Mtime: r.varint(), Target: r.str(),
	}
}
