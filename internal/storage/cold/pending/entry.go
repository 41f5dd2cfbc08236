package pending

import (
	"encoding/binary"
	"errors"
	"fmt"
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
	b = str(b, e.Path)
	b = binary.AppendUvarint(b, e.Seq)
	b = binary.AppendVarint(b, e.Since)
	b = e.Base.encode(b)
	b = binary.AppendUvarint(b, uint64(len(e.Writes)))
	for _, w := range e.Writes {
		b = str(b, w)
	}
	b = str(b, e.UploadID)
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	b = append(b, flag(e.Live, 1)|flag(e.Synced, 2)|flag(e.ModeGuessed, 4)|flag(e.MtimeGuessed, 8))
	b = str(b, e.Data)
	b = str(b, e.Source.Path)
	b = e.Source.Version.encode(b)
	return str(b, e.Target)
}

func (v *Version) encode(b []byte) []byte {
	b = str(b, v.ETag)
	b = binary.AppendVarint(b, v.Size)
	return binary.AppendVarint(b, v.Modified)
}

func str(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

var errRecord = errors.New("damaged record")

// reader takes a record apart; after its end everything is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	if len(r.b) == 0 {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errRecord
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) str() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errRecord
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) version() Version {
	return Version{ETag: r.str(), Size: r.varint(), Modified: r.varint()}
}

func decode(b []byte) (Entry, error) {
	r := &reader{b: b}
	e := Entry{Path: r.str(), Seq: r.uvarint(), Since: r.varint(), Base: r.version()}
	n := r.uvarint()
	for ; n > 0 && r.err == nil && len(r.b) > 0; n-- {
		e.Writes = append(e.Writes, r.str())
	}
	e.UploadID = r.str()
	e.Kind = Kind(r.uvarint())
	e.Mode = uint32(r.uvarint())
	e.Mtime = r.varint()
	flags := r.uvarint()
	e.Live, e.Synced, e.ModeGuessed, e.MtimeGuessed = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	e.Data = r.str()
	e.Source.Path = r.str()
	e.Source.Version = r.version()
	e.Target = r.str()
	if r.err == nil && (e.Path == "" || e.Kind > Symlink) {
		r.err = errRecord
	}
	if r.err != nil {
		return Entry{}, fmt.Errorf("%w of %q", r.err, e.Path)
	}
	return e, nil
}
