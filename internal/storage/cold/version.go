package cold

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// version is what S3 holds at a key; no ETag: nothing.
type version = pending.Version

// packed is a version in little space. An ETag of S3's is 32 hexadecimal digits, and for an object that was sent in
// parts a hyphen and their number; the size is the node's. Any other version is in the node's extra.
type packed struct {
	sum      [16]byte
	modified uint32
}

// form is what a node's packed version stands for.
type form uint16

const (
	formNothing form = iota // S3 has nothing
	formExtra               // see extra.version
	formWhole
	formParts // and the number of parts
)

// pack gives a version's packed form; ok is false if it has none.
func pack(etag string, modified int64) (p packed, f form, ok bool) {
	if modified < 0 || modified > math.MaxUint32 {
		return packed{}, formExtra, false
	}
	p.modified, f = uint32(modified), formWhole
	digits, parts, more := strings.Cut(etag, "-")
	if more {
		n, err := strconv.ParseUint(parts, 10, 16)
		if err != nil || n > uint64(math.MaxUint16-formParts) || strconv.FormatUint(n, 10) != parts {
			return packed{}, formExtra, false
		}
		f = formParts + form(n)
	}
	if len(digits) != 2*len(p.sum) {
		return packed{}, formExtra, false
	}
	for i := range p.sum {
		high, low := digit(digits[2*i]), digit(digits[2*i+1])
		if high|low > 15 {
			return packed{}, formExtra, false
		}
		p.sum[i] = high<<4 | low
	}
	return p, f, true
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return math.MaxUint8
}

// etag is the ETag of a version that is packed.
func (p packed) etag(f form) string {
	b := make([]byte, 0, 2*len(p.sum)+len("-65535"))
	b = hex.AppendEncode(b, p.sum[:])
	if f >= formParts {
		b = strconv.AppendUint(append(b, '-'), uint64(f-formParts), 10)
	}
	return string(b)
}

// remote is the version in S3 that has the content, or had it before it was changed here. extra.origin is the path
// at which it is, when it is not the node's own.
func (n *node) remote() version {
	switch n.form {
	case formNothing:
		return version{}
	case formExtra:
		return n.version
	}
	return version{ETag: n.etag(n.form), Size: n.size, Modified: int64(n.modified)}
}

// hasRemote says that there is such a version.
func (n *node) hasRemote() bool { return n.form != formNothing }

// isRemote says that an object's content is that version's.
func (n *node) isRemote(etag string, size int64) bool {
	if n.form == formExtra {
		return n.version.ETag == etag && n.version.Size == size
	}
	p, f, ok := pack(etag, 0)
	return ok && n.form == f && n.sum == p.sum && n.size == size
}

func (n *node) setRemote(v version) {
	p, f, ok := pack(v.ETag, v.Modified)
	switch {
	case v == version{}:
		p, f = packed{}, formNothing
	case !ok || v.Size != n.size:
		n.packed, n.form = packed{}, formExtra
		n.own().version = v
		return
	}
	n.packed, n.form = p, f
	if n.extra != &nothing {
		n.own().version = version{}
	}
}

// setSize says how long the content is here.
func (n *node) setSize(size int64) {
	if size == n.size {
		return
	}
	v := n.remote()
	n.size = size
	n.setRemote(v)
}

// moment is a time of this process's clock in little space; 0 is before all others.
type moment int64

var dawn = time.Now().Add(-math.MaxInt64 / 2)

func momentOf(t time.Time) moment {
	if t.Before(dawn) {
		return 0
	}
	return moment(t.Sub(dawn))
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return dawn.Add(time.Duration(m))
}
