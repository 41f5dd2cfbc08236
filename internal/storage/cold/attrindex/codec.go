package attrindex

import (
	"encoding/binary"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Entry is what is known of one version of an object.
type Entry struct {
	Key      string // below the prefix
	ETag     string // empty: the object is gone
	Size     int64
	Modified int64  // seconds since the epoch, S3's clock; good to slack
	Mode     uint32 // st_mode with the type bits
	Mtime    int64  // nanoseconds since the epoch
	Target   string // of a symbolic link
	Ctime    int64  // as Mtime; so that programs that remember it, git first of all, know the file again
	Ino      uint64 // st_ino; 0: what a file of that path has by default
}

// Is says that the entry is about a version that a listing shows: the same content, and not
// written since. A store whose copies onto themselves keep Last-Modified shows an earlier one.
func (e *Entry) Is(etag string, size, modified int64) bool {
	return e.ETag == etag && e.Size == size && modified <= e.Modified+slack
}

// slack is by how many seconds Modified may be wrong: of what is written here it is the Date of the answer. A
// version with other attributes that is written within it has to be kept from being taken for the one before; see
// Fold.
const slack = 2

// hasIdentity is set in the mode of an entry that has ctime and inode at its end. Earlier versions wrote none.
const hasIdentity = 1 << 31

// An entry is its key, of which the first shared bytes are those of the entry before it, then the
// rest. A year 2262 problem is S3's as well: times are varints of nanoseconds.
func (e *Entry) encode(b []byte, before string) []byte {
	shared := 0
	for shared < min(len(before), len(e.Key)) && before[shared] == e.Key[shared] {
		shared++
	}
	b = binary.AppendUvarint(b, uint64(shared))
	b = binenc.AppendString(b, e.Key[shared:])
	b = binenc.AppendETag(b, e.ETag)
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendVarint(b, e.Modified)
	b = binary.AppendUvarint(b, uint64(e.Mode|hasIdentity))
	b = binary.AppendVarint(b, e.Mtime)
	b = binenc.AppendString(b, e.Target)
	b = binary.AppendVarint(b, e.Ctime-e.Mtime)
	return binary.AppendUvarint(b, e.Ino)
}

func readEntry(r *binenc.Reader, before string) Entry {
	shared := r.Number(int64(len(before)))
	e := Entry{
		Key: before[:shared] + r.String(), ETag: r.ETag(), Size: r.Varint(), Modified: r.Varint(),
		Mode: uint32(r.Uvarint()), Mtime: r.Varint(), Target: r.String(),
	}
	if e.Mode&hasIdentity != 0 {
		e.Mode &^= hasIdentity
		e.Ctime, e.Ino = e.Mtime+r.Varint(), r.Uvarint()
	}
	return e
}
