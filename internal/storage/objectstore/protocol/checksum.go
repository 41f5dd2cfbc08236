package protocol

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
	"sync"
)

// Checksum is that of a whole object, as the store keeps it ("Checking object integrity").
// The zero checksum is none.
type Checksum struct {
	Algorithm string // the end of "x-amz-checksum-": "crc32c"
	Value     string // base64
}

// ChecksumOf finds the checksum of the content in a response. One of an upload in parts
// that covers the checksums of its parts (COMPOSITE, "...-3") says nothing about the
// content that a reader could compute.
func ChecksumOf(h http.Header) Checksum {
	if h.Get("X-Amz-Checksum-Type") == "COMPOSITE" {
		return Checksum{}
	}
	for _, a := range [...]struct{ header, name string }{
		{"X-Amz-Checksum-Crc32c", "crc32c"}, {"X-Amz-Checksum-Crc64nvme", "crc64nvme"}, {"X-Amz-Checksum-Crc32", "crc32"},
		{"X-Amz-Checksum-Sha256", "sha256"}, {"X-Amz-Checksum-Sha1", "sha1"},
	} {
		if v := h[a.header]; len(v) == 1 && !strings.Contains(v[0], "-") {
			return Checksum{a.name, v[0]}
		}
	}
	return Checksum{}
}

// Hash makes what computes c; nil when there is nothing to compute.
func (c Checksum) Hash() hash.Hash {
	switch c.Algorithm {
	case "crc32c":
		return crc32.New(Castagnoli())
	case "crc64nvme":
		return crc64.New(nvme())
	case "crc32":
		return crc32.NewIEEE()
	case "sha256":
		return sha256.New()
	case "sha1":
		return sha1.New()
	}
	return nil
}

// Combines says that the checksum of a whole can be made of those of its pieces.
func (c Checksum) Combines() bool { return strings.HasPrefix(c.Algorithm, "crc") }

// Matches compares with the sum of what was read.
func (c Checksum) Matches(sum []byte) bool {
	return base64.StdEncoding.EncodeToString(sum) == c.Value
}

// Castagnoli is the polynomial that processors have an instruction for: what we upload with.
func Castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// nvme is the polynomial of the NVM Express NVM Command Set Specification, 5.2.1.3.4: what AWS
// computes for objects that come without a checksum. Reflected, as hash/crc64 has them.
var nvme = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(nvmePolynomial) })

const nvmePolynomial = 0x9a6c9329ac4bc9b5

// CRC32CValue is a CRC32C as S3's headers have it.
func CRC32CValue(crc uint32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc)
	return base64.StdEncoding.EncodeToString(b[:])
}

// CombineCRC32C is the checksum of a followed by b, of which the second is n bytes long.
func CombineCRC32C(a, b uint32, n int64) uint32 {
	return uint32(polynomial{crc32.Castagnoli, 32}.combine(uint64(a), uint64(b), n))
}

// Combine is CombineCRC32C for any CRC, of sums as hash.Hash gives them.
func (c Checksum) Combine(a, b []byte, n int64) []byte {
	p := polynomial{crc32.Castagnoli, 32}
	switch c.Algorithm {
	case "crc32":
		p.reflected = crc32.IEEE
	case "crc64nvme":
		p = polynomial{nvmePolynomial, 64}
	}
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], p.combine(BigEndian(a), BigEndian(b), n)<<(64-p.width))
	return append([]byte(nil), sum[:p.width/8]...)
}

// BigEndian is the number that bytes are, the highest first.
func BigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// polynomial is one over GF(2), reflected: the highest of its width bits is x^0.
type polynomial struct {
	reflected uint64
	width     uint
}

// combine shifts a by n bytes of zeros, which is a multiplication by x^8n modulo the
// polynomial, and adds b. The inversions at both ends of a CRC cancel out.
func (p polynomial) combine(a, b uint64, n int64) uint64 {
	shift, square := uint64(1)<<(p.width-1), uint64(1)<<(p.width-9) // x^0, x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			shift = p.multiply(square, shift)
		}
		square = p.multiply(square, square)
	}
	return p.multiply(shift, a) ^ b
}

func (p polynomial) multiply(a, b uint64) (product uint64) {
	for m := uint64(1) << (p.width - 1); m != 0; m >>= 1 {
		if a&m != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ p.reflected
		} else {
			b >>= 1
		}
	}
	return product
}
