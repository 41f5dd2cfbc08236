package upload

import (
	"context"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/stable"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// version is what is to be stored: a file's, a link's or a directory's present state.
type version struct {
	path string
	key  string // below the prefix
	dir  *tree.Dir
	name string

	force bool // see How

	attr  posixattr.Attr
	body  io.ReaderAt
	size  int64
	local journal.Stat
	racy  bool

	src   *stable.Source // of a file
	whole bool           // it is a database, with all its files in one
	sum   *[32]byte      // once it is known
}

// keep are the bits of a mode that are kept: setuid and setgid are dropped on the way in.
const keep = unix.S_IFMT | unix.S_ISVTX | 0o777

// sparse is how much of a file has to be holes for that to be told with it.
const sparse = 1 << 20

func attrOf(i tree.Info) posixattr.Attr {
	a := posixattr.Attr{Mode: i.Mode & keep, Mtime: i.Mtime, UID: contract.AgentUID, GID: contract.AgentGID}
	if holes := i.Size - 512*i.Blocks; i.IsRegular() && holes >= sparse {
		a.Holes = holes
	}
	if i.IsSymlink() {
		a.Mode = unix.S_IFLNK | 0o777
	}
	return a
}

// isMarker tells whether the version is a directory's.
func (v *version) isMarker() bool { return strings.HasSuffix(v.key, "/") }

// lineName is the version's name in the queue.
func (v *version) lineName() string {
	if v.isMarker() {
		return v.path + "/"
	}
	return v.path
}

// hash makes sum known.
func (v *version) hash(ctx context.Context) (sum [32]byte, err error) {
	if v.sum == nil {
		if sum, err = v.src.Sum(ctx); err != nil {
			return sum, err
		}
		v.sum = &sum
	}
	return *v.sum, nil
}

// hasContent tells whether the version's content is that of a known object.
func (v *version) hasContent(ctx context.Context, e journal.Entry) (bool, error) {
	if e.Size != v.size || e.SHA256 == [32]byte{} {
		return false, nil
	}
	sum, err := v.hash(ctx)
	return err == nil && sum == e.SHA256, err
}

// hasAttr tells whether the version's attributes are those of a known object.
func (v *version) hasAttr(e journal.Entry) bool {
	return e.Mode&keep == v.attr.Mode && e.Mtime == v.attr.Mtime
}

// metadata is what the version's object gets.
func (v *version) metadata(writeID string) map[string]string {
	m := posixattr.Encode(v.attr, writeID)
	if v.whole {
		m[posixattr.WholeKey] = sqlitefile.Kind
	}
	return m
}

// entry is what the journal keeps when S3 has the version.
func (v *version) entry(etag string, modified int64) journal.Entry {
	e := journal.Entry{
		Path: v.path, Key: v.key, ETag: etag, Size: v.size, Mode: v.attr.Mode, Mtime: v.attr.Mtime,
		Modified: modified, Local: v.local, Whole: v.whole,
	}
	if v.sum != nil {
		e.SHA256 = *v.sum
	}
	return e
}
