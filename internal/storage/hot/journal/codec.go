package journal

import (
	"encoding/binary"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// A record's payload is one op byte and its fields: strings with a length in front,
// numbers as varints, hashes as they are.
type op byte

const (
	opHome   op = 'H' // identity, hydrated, sequence number
	opPut    op = 'P' // entry
	opTouch  op = 'T' // path, stat
	opForget op = 'F' // path
	opGone   op = 'G' // path
	opUngone op = 'U' // path
	opBegin  op = 'B' // path, intent
	opDelete op = 'D' // path, key
	opTwin   op = 'W' // name, key, ETag
	opUntwin op = 'V' // name
)

func appendStat(b []byte, s Stat) []byte {
	b = binary.AppendVarint(b, s.Size)
	b = binary.AppendVarint(b, s.Mtime)
	b = binary.AppendVarint(b, s.Ctime)
	b = binary.AppendUvarint(b, s.Ino)
	return binenc.AppendBool(b, s.Racy)
}

func appendEntry(b []byte, e Entry) []byte {
	b = binenc.AppendString(b, e.Path)
	b = binenc.AppendString(b, e.Key)
	b = binenc.AppendString(b, e.ETag)
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	b = append(b, e.SHA256[:]...)
	b = binary.AppendVarint(b, e.Modified)
	b = binenc.AppendBool(b, e.Whole)
	return appendStat(b, e.Local)
}

func appendIntent(b []byte, in Intent) []byte {
	b = binenc.AppendString(b, in.WriteID)
	b = binenc.AppendString(b, in.Key)
	b = binenc.AppendString(b, in.UploadID)
	b = binary.AppendVarint(b, in.Size)
	b = binary.AppendUvarint(b, uint64(in.Mode))
	b = binary.AppendVarint(b, in.Mtime)
	b = append(b, in.SHA256[:]...)
	return appendStat(b, in.Local)
}

func appendTwin(b []byte, name string, t Twin) []byte {
	return binenc.AppendString(binenc.AppendString(binenc.AppendString(b, name), t.Key), t.ETag)
}

func appendHome(b []byte, id Identity, hydrated bool, seq uint64) []byte {
	b = binenc.AppendString(b, id.Bucket)
	b = binenc.AppendString(b, id.Prefix)
	b = binary.AppendUvarint(b, id.FileSystem)
	b = binary.AppendUvarint(b, id.Ino)
	b = binary.AppendVarint(b, id.Btime)
	b = binenc.AppendString(b, id.BootID)
	return binary.AppendUvarint(binenc.AppendBool(b, hydrated), seq)
}

// fields reads what the append functions wrote; see binenc.Reader for mistakes.
type fields struct{ *binenc.Reader }

func fieldsOf(payload []byte) fields { return fields{binenc.NewReader(payload)} }

func (f fields) bad() bool { return f.Err() != nil }

func (f fields) stat() Stat {
	return Stat{Size: f.Varint(), Mtime: f.Varint(), Ctime: f.Varint(), Ino: f.Uvarint(), Racy: f.Bool()}
}

func (f fields) entry() (e Entry) {
	e.Path, e.Key, e.ETag = f.String(), f.String(), f.String()
	e.Size, e.Mode, e.Mtime = f.Varint(), uint32(f.Uvarint()), f.Varint()
	f.Fixed(e.SHA256[:])
	e.Modified, e.Whole, e.Local = f.Varint(), f.Bool(), f.stat()
	return e
}

func (f fields) intent() (in Intent) {
	in.WriteID, in.Key, in.UploadID = f.String(), f.String(), f.String()
	in.Size, in.Mode, in.Mtime = f.Varint(), uint32(f.Uvarint()), f.Varint()
	f.Fixed(in.SHA256[:])
	in.Local = f.stat()
	return in
}

func (f fields) home() (id Identity, hydrated bool, seq uint64) {
	id.Bucket, id.Prefix = f.String(), f.String()
	id.FileSystem, id.Ino, id.Btime = f.Uvarint(), f.Uvarint(), f.Varint()
	id.BootID = f.String()
	return id, f.Bool(), f.Uvarint()
}
