package pending

import (
	"encoding/binary"
	"fmt"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Kind is what is to be at a key.
type Kind uint8

// The kinds.
const (
	Nothing Kind = iota // the key is to be deleted
	File
	Dir // a directory's marker; the entry's path ends in "/"
	Symlink
)

// Version is what S3 holds at a key. An empty ETag: nothing.
type Version struct {
	ETag     string
	Size     int64 // bytes
	Modified int64 // seconds since the epoch: S3's Last-Modified, or its Date at our write
}

// Source is where the content is in S3, while it is not in the cache.
type Source struct {
	Path string
	Version
}

// Entry is a key whose content, attributes or existence S3 does not have yet.
type Entry struct {
	Path  string  // below the cold root, raw bytes; a directory's marker ends in "/"
	Seq   uint64  // the order of the oldest change
	Since int64   // when that was: nanoseconds since the epoch
	Base  Version // what S3 holds at the key, as far as is known

	Writes   []string // ids of writes that were begun: any may have arrived
	UploadID string   // of a multipart upload that may be continued

	Kind   Kind
	Mode   uint32 // permissions
	Mtime  int64  // nanoseconds since the epoch
	Live   bool   // Mtime is older than the content: take that of the cached file
	Data   string // name of the content in the cache; empty: it is at Source
	Source Source // also while Data is not whole
	Target string // of a symbolic link

	// Mode or Mtime were never seen: they are what a listing lets one assume.
	ModeGuessed, MtimeGuessed bool

	// Synced says that the content has been synced to the disk since its last change.
	Synced bool
}

// Fields are only ever appended, and read as zero when a record ends before them.
func (e *Entry) encode(b []byte) []byte {
	b = binenc.AppendString(b, e.Path)
	b = binary.AppendUvarint(b, e.Seq)
	b = binary.AppendVarint(b, e.Since)
	b = e.Base.encode(b)
	b = binary.AppendUvarint(b, uint64(len(e.Writes)))
	for _, w := range e.Writes {
		b = binenc.AppendString(b, w)
	}
	b = binenc.AppendString(b, e.UploadID)
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	b = append(b, flag(e.Live, 1)|flag(e.Synced, 2)|flag(e.ModeGuessed, 4)|flag(e.MtimeGuessed, 8))
	b = binenc.AppendString(b, e.Data)
	b = binenc.AppendString(b, e.Source.Path)
	b = e.Source.Version.encode(b)
	return binenc.AppendString(b, e.Target)
}

func (v *Version) encode(b []byte) []byte {
	b = binenc.AppendString(b, v.ETag)
	b = binary.AppendVarint(b, v.Size)
	return binary.AppendVarint(b, v.Modified)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func readVersion(r *binenc.Reader) Version {
	return Version{ETag: r.String(), Size: r.Varint(), Modified: r.Varint()}
}

func decode(b []byte) (Entry, error) {
	r := binenc.NewPaddedReader(b)
	e := Entry{Path: r.String(), Seq: r.Uvarint(), Since: r.Varint(), Base: readVersion(r)}
	n := r.Uvarint()
	for ; n > 0 && r.Len() > 0; n-- {
		e.Writes = append(e.Writes, r.String())
	}
	e.UploadID = r.String()
	e.Kind = Kind(r.Uvarint())
	e.Mode = uint32(r.Uvarint())
	e.Mtime = r.Varint()
	flags := r.Uvarint()
	e.Live, e.Synced, e.ModeGuessed, e.MtimeGuessed = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	e.Data = r.String()
	e.Source.Path = r.String()
	e.Source.Version = readVersion(r)
	e.Target = r.String()
	if e.Path == "" || e.Kind > Symlink {
		r.Fail("kind %d", e.Kind)
	}
	if r.Err() != nil {
		return Entry{}, fmt.Errorf("%w, in the entry of %q", r.Err(), e.Path)
	}
	return e, nil
}
