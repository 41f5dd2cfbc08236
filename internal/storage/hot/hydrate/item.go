package hydrate

import (
	"encoding/hex"
	"strings"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// item is one object below hot/. There may be millions: its key is cut from a larger
// string, and an ETag that is an MD5, as nearly all are, is kept as its bytes.
type item struct {
	key      string // below the hot prefix
	md5      [16]byte
	odd      *string // the ETag when it is no MD5
	size     int64
	modified int64 // Last-Modified, seconds since the epoch
	entry    int32 // of the manifest, from 1, when that vouches for this version; else 0
	verdict  verdict
}

func (it *item) etag() string {
	if it.odd != nil {
		return *it.odd
	}
	return hex.EncodeToString(it.md5[:])
}

func (it *item) setETag(etag string) {
	if len(etag) == 32 && etag == strings.ToLower(etag) {
		if _, err := hex.Decode(it.md5[:], []byte(etag)); err == nil {
			return
		}
	}
	etag = strings.Clone(etag)
	it.odd = &etag
}

// isMarker says that the key is a directory's.
func (it *item) isMarker() bool { return it.key[len(it.key)-1] == '/' }

// path is the path below the home; sift has left out the items that have none.
func (it *item) path() string {
	p, _, _ := posixattr.Path(it.key)
	return p
}

// name is the object's name in package queue.
func (it *item) name() string {
	if it.isMarker() {
		return it.path() + "/"
	}
	return it.path()
}

// arena keeps keys in a few large strings.
type arena struct{ b strings.Builder }

const arenaSize = 64 << 10

func (a *arena) keep(s string) string {
	if a.b.Cap()-a.b.Len() < len(s) {
		a.b = strings.Builder{}
		a.b.Grow(max(arenaSize, len(s)))
	}
	from := a.b.Len()
	a.b.WriteString(s)
	return a.b.String()[from:]
}

func newItem(e *objectstore.Entry, key string) item {
	it := item{key: key, size: e.Size, modified: e.LastModified.Unix()}
	it.setETag(e.ETag)
	return it
}
