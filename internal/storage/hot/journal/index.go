package journal

import (
	"encoding/hex"
	"strings"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// index holds the entries as a tree of directories. Names instead of whole paths, and
// ETags and keys that can be derived left out, keep 200,000 entries in some 40 MB;
// and the entries of one directory are at hand when that directory is looked at.
type index struct {
	root  node
	count int
	bytes int64
}

type node struct {
	files map[string]*record // anything that is an object: files, links, directory markers
	dirs  map[string]*node   // directories with entries below them
}

// record is an Entry without its path.
type record struct {
	sha      [32]byte
	etag     [16]byte // of an ETag that is a quoted MD5; else it is in odd
	size     int64
	mtime    int64
	modified int64
	local    Stat
	odd      *oddity // nil for nearly all
	mode     uint32
	key      keyForm
	whole    bool
}

type oddity struct{ etag, key string }

type keyForm uint8

const (
	keyIsPath keyForm = iota
	keyIsPathSlash
	keyIsOdd
)

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func newRecord(e Entry) *record {
	r := &record{sha: e.SHA256, size: e.Size, mtime: e.Mtime, modified: e.Modified, local: e.Local, mode: e.Mode, whole: e.Whole}
	var odd oddity
	// All zeros stand for no ETag.
	if sum, ok := binenc.PackMD5(e.ETag); ok && sum != [16]byte{} {
		r.etag = sum
	} else {
		odd.etag = e.ETag
	}
	switch {
	case e.Key == e.Path:
		r.key = keyIsPath
	case len(e.Key) == len(e.Path)+1 && strings.HasPrefix(e.Key, e.Path) && e.Key[len(e.Path)] == '/':
		r.key = keyIsPathSlash
	default:
		r.key, odd.key = keyIsOdd, e.Key
	}
	if odd != (oddity{}) {
		r.odd = &odd
	}
	return r
}

func (r *record) entry(path string) Entry {
	e := Entry{
		Path: path, Key: path, Size: r.size, Mode: r.mode, Mtime: r.mtime,
		SHA256: r.sha, Modified: r.modified, Local: r.local, Whole: r.whole,
	}
	switch r.key {
	case keyIsPathSlash:
		e.Key = path + "/"
	case keyIsOdd:
		e.Key = r.odd.key
	}
	if r.odd != nil && r.odd.etag != "" {
		e.ETag = r.odd.etag
	} else if r.etag != [16]byte{} {
		e.ETag = hex.EncodeToString(r.etag[:])
	}
	return e
}

// dir returns the node of a directory, nil when nothing is below it.
func (x *index) dir(path string) *node {
	n := &x.root
	for path != "" && n != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		n = n.dirs[name]
	}
	return n
}

func split(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

func (x *index) get(path string) *record {
	dir, name := split(path)
	n := x.dir(dir)
	if n == nil {
		return nil
	}
	return n.files[name]
}

func (x *index) put(e Entry) {
	dir, name := split(e.Path)
	n := &x.root
	for dir != "" {
		var part string
		part, dir, _ = strings.Cut(dir, "/")
		next := n.dirs[part]
		if next == nil {
			next = &node{}
			if n.dirs == nil {
				n.dirs = map[string]*node{}
			}
			n.dirs[strings.Clone(part)] = next // a clone, so that no whole path is kept alive
		}
		n = next
	}
	if n.files == nil {
		n.files = map[string]*record{}
	}
	if old := n.files[name]; old != nil {
		x.bytes -= old.size
		*old = *newRecord(e)
	} else {
		x.count++
		n.files[strings.Clone(name)] = newRecord(e)
	}
	x.bytes += e.Size
}

// remove takes the entry of path out, and the directories that become empty with it.
func (x *index) remove(path string) bool {
	removed := x.root.remove(path)
	if removed == nil {
		return false
	}
	x.count--
	x.bytes -= removed.size
	return true
}

func (n *node) remove(path string) *record {
	part, rest, below := strings.Cut(path, "/")
	if !below {
		r := n.files[part]
		delete(n.files, part)
		return r
	}
	next := n.dirs[part]
	if next == nil {
		return nil
	}
	r := next.remove(rest)
	if len(next.files) == 0 && len(next.dirs) == 0 {
		delete(n.dirs, part)
	}
	return r
}

func (x *index) each(f func(Entry)) { x.root.each("", f) }

func (n *node) each(dir string, f func(Entry)) {
	for name, r := range n.files {
		f(r.entry(join(dir, name)))
	}
	for name, next := range n.dirs {
		next.each(join(dir, name), f)
	}
}
