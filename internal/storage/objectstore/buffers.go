package objectstore

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// smallBody is the size up to which a body is read once, into memory, and sent from there.
// A larger one is read twice, for its checksum and to be sent, and never held.
const smallBody = 64 << 10

// buffers are reused: a fresh one for each of ten thousand small objects is most of what
// the collector would have to do.
var buffers = sync.Pool{New: func() any { return new([smallBody]byte) }}

// sums are the checksums of a body that is about to be sent.
type sums struct {
	crc    uint32
	md5    string // base64; only for a store that knows no other
	sha256 string // hex; only where it is signed
}

// set puts the checksum into the request that the server verifies the body by.
func (s sums) set(r *request) {
	r.sha256 = s.sha256
	if s.md5 != "" {
		r.set("Content-Md5", s.md5)
		return
	}
	r.set("X-Amz-Checksum-Crc32c", protocol.CRC32CValue(s.crc))
}

// sumsOf reads [offset, offset+size) of r. A body that is shorter is io.ErrUnexpectedEOF: it
// changes while it is read.
func (s *Store) sumsOf(r io.ReaderAt, offset, size int64, withMD5 bool) (sums, error) {
	return sumsOf(r, offset, size, !s.endpoint.Private, withMD5)
}

func sumsOf(r io.ReaderAt, offset, size int64, signed, withMD5 bool) (s sums, err error) {
	buf := buffers.Get().(*[smallBody]byte)
	defer buffers.Put(buf)
	var sha, md hash.Hash
	if signed {
		sha = sha256.New()
	}
	if withMD5 {
		md = md5.New()
	}
	table := protocol.Castagnoli()
	for done := int64(0); done < size; {
		b := buf[:min(int64(len(buf)), size-done)]
		n, err := r.ReadAt(b, offset+done)
		if n < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return s, fmt.Errorf("cannot read the content to write: %w", err)
		}
		s.crc = crc32.Update(s.crc, table, b)
		if sha != nil {
			sha.Write(b)
		}
		if md != nil {
			md.Write(b)
		}
		done += int64(n)
	}
	if sha != nil {
		s.sha256 = hex.EncodeToString(sha.Sum(nil))
	}
	if md != nil {
		s.md5 = base64.StdEncoding.EncodeToString(md.Sum(nil))
	}
	return s, nil
}
