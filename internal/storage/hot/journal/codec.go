package journal

import (
	"encoding/binary"
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
	opDone   op = 'D' // path
)

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStat(b []byte, s Stat) []byte {
	b = binary.AppendVarint(b, s.Size)
	b = binary.AppendVarint(b, s.Mtime)
	b = binary.AppendVarint(b, s.Ctime)
	b = binary.AppendUvarint(b, s.Ino)
	return appendBool(b, s.Racy)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendEntry(b []byte, e Entry) []byte {
	b = appendString(b, e.Path)
	b = appendString(b, e.Key)
	b = appendString(b, e.ETag)
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.Mtime)
	b = append(b, e.SHA256[:]...)
	b = binary.AppendVarint(b, e.Modified)
	return appendStat(b, e.Local)
}

func appendIntent(b []byte, in Intent) []byte {
	b = appendString(b, in.WriteID)
	b = appendString(b, in.Key)
	b = appendString(b, in.UploadID)
	b = binary.AppendVarint(b, in.Size)
	b = binary.AppendUvarint(b, uint64(in.Mode))
	b = binary.AppendVarint(b, in.Mtime)
	b = append(b, in.SHA256[:]...)
	return appendStat(b, in.Local)
}

func appendHome(b []byte, id Identity, hydrated bool, seq uint64) []byte {
	b = appendString(b, id.Bucket)
	b = appendString(b, id.Prefix)
	b = binary.AppendUvarint(b, id.FileSystem)
	b = binary.AppendUvarint(b, id.Ino)
	b = binary.AppendVarint(b, id.Btime)
	b = appendString(b, id.BootID)
	return binary.AppendUvarint(appendBool(b, hydrated), seq)
}

// fields reads what the append functions wrote. After the first mistake everything
// reads as zero and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.b, f.bad = nil, true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.b, f.bad = nil, true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) string() string {
	n := f.uvarint()
	if n > uint64(len(f.b)) {
		f.b, f.bad = nil, true
		return ""
	}
	s := string(f.b[:n])
	f.b = f.b[n:]
	return s
}

func (f *fields) bytes(to []byte) {
	if len(f.b) < len(to) {
		f.b, f.bad = nil, true
		return
	}
	copy(to, f.b)
	f.b = f.b[len(to):]
}

func (f *fields) bool() bool {
	var flag [1]byte
	f.bytes(flag[:])
	return flag[0] == 1
}

func (f *fields) stat() Stat {
	return Stat{Size: f.varint(), Mtime: f.varint(), Ctime: f.varint(), Ino: f.uvarint(), Racy: f.bool()}
}

func (f *fields) entry() (e Entry) {
	e.Path, e.Key, e.ETag = f.string(), f.string(), f.string()
	e.Size, e.Mode, e.Mtime = f.varint(), uint32(f.uvarint()), f.varint()
	f.bytes(e.SHA256[:])
	e.Modified, e.Local = f.varint(), f.stat()
	return e
}

func (f *fields) intent() (in Intent) {
	in.WriteID, in.Key, in.UploadID = f.string(), f.string(), f.string()
	in.Size, in.Mode, in.Mtime = f.varint(), uint32(f.uvarint()), f.varint()
	f.bytes(in.SHA256[:])
	in.Local = f.stat()
	return in
}

func (f *fields) home() (id Identity, hydrated bool, seq uint64) {
	id.Bucket, id.Prefix = f.string(), f.string()
	id.FileSystem, id.Ino, id.Btime = f.uvarint(), f.uvarint(), f.varint()
	id.BootID = f.string()
	return id, f.bool(), f.uvarint()
}
