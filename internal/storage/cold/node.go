package cold

import (
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// node is a file, a directory or a symbolic link. Its fields are guarded by core.mu. A tree has many of which no more
// is known than what a listing tells: the rest is apart, and these are laid out without gaps (TestMemoryOfNames).
type node struct {
	parent *node // nil: the root, or unlinked
	name   string
	*extra

	ino          uint64 // st_ino; 0: of its path, see tree.inoOf
	mtime, ctime int64  // nanoseconds since the epoch
	size         int64  // of a file; of a link the length of its target
	checked      moment
	packed              // see remote
	id           uint32 // 0: the kernel does not know it
	lookups      uint32 // references of the kernel; lookupsMost: for ever
	pass         uint32 // the listing that saw it last
	mode         uint16 // permissions
	form
	kind pending.Kind

	// A listing tells neither mode nor mtime: until the object's metadata was seen these are
	// what an object without metadata has.
	modeKnown, mtimeKnown bool

	stale bool // another client changed the object: opening it again finds the new one
}

// extra is what a node has that was opened or changed here. It is read as any field of the node, and written
// through own.
type extra struct {
	dir     *dir
	version version // see remote

	atime   int64  // nanoseconds since the epoch; 0: as mtime; never stored
	opens   int    // handles
	writers int    // of these, for writing
	jobs    int    // under way
	touched uint64 // changes.ops when we last changed its object
	origin  string // see remote

	sent   int64 // bytes, by the last upload of it
	sentAt time.Time

	covered  bool             // its dirty key is; see database.go
	coverage map[*node]uint64 // of a database: what its object has of its members
	patched  []cache.Range    // of that object, and not of the database's file

	gen     uint64 // of content and attributes
	dataGen uint64 // of content
	writing int    // writes under way
	data    string // the dirty content's name in the cache; empty: the content is remote's
	live    bool   // the journal's mtime is older than the content
	synced  bool

	foreign map[string]string // metadata of the object that is not ours and is kept

	target       string // of a symbolic link
	content      *content
	lastKey      string // of a file that lost its name: where its clean content was; see orphan.go
	displaced    string // the path from which others took it, while it may be open; see displaced.go
	displacedDir *node  // and the directory
	wholeOnly    bool   // S3 does not make its object of parts
	localizing   bool   // its content is being brought here for good
}

// nothing is the extra of every node that has none of its own. It is never written.
var nothing extra

// own is what to write to.
func (n *node) own() *extra {
	if n.extra == &nothing {
		n.extra = new(extra)
	}
	return n.extra
}

// slim lets a node's extra go when nothing in it is of use any more. With mu.
func (ch *changes) slim(n *node) {
	x := n.extra
	busy := x.opens+x.jobs+x.writing > 0 || x.covered || x.wholeOnly || x.localizing
	kept := x.dir != nil || n.form == formExtra || x.origin+x.data+x.target+x.lastKey+x.displaced != "" || x.foreign != nil || x.content != nil || x.patched != nil || x.atime != 0
	if x == &nothing || busy || kept || n.parent == nil || x.sent > sentMost || ch.listings > 0 && x.touched > 0 || ch.dirtyKeys[n.objectPath()] != nil {
		return
	}
	n.extra = &nothing
}

// sentMost is how much an upload may have sent, in bytes, that need not be remembered: the pause after it is over
// at once.
const sentMost = sparingRate / 16

// dir is what a directory has beside a node. Its own object, the marker, is the node's remote version.
type dir struct {
	children      children
	complete      bool      // children is all there is
	listed        time.Time // when the listing that says so began
	large         bool      // it took more than a page
	singleLookups int       // names looked up by themselves since then
	listing       *listing  // under way
	expired       time.Time // what was known of the files in it until then is not believed
	retry         time.Time // S3 did not answer: what is known stands until then
	hidden        int       // keys directly in it that cannot be shown
	hiddenBy      uint32    // the listing that counts them
	walk          *walk
	sequence      sequence
}

func (n *node) isDir() bool { return n.kind == pending.Dir }

// dirty says that the content is not remote's.
func (n *node) dirty() bool { return n.data != "" }

// path is where the node is below the root; its caller knows that it is not unlinked.
func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	size := len(n.name)
	for p := n.parent; p.parent != nil; p = p.parent {
		size += len(p.name) + 1
	}
	b := make([]byte, size)
	for p := n; p.parent != nil; p = p.parent {
		size -= len(p.name)
		copy(b[size:], p.name)
		if size > 0 {
			size--
			b[size] = '/'
		}
	}
	return string(b)
}

// join appends a name to a path below the root.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// objectPath is the path of the dirty key for the node's own object.
func (n *node) objectPath() string {
	if n.isDir() {
		return n.path() + "/"
	}
	return n.path()
}

// source is where the remote content is.
func (n *node) source() string {
	if n.origin != "" {
		return n.origin
	}
	return n.objectPath()
}

// attr is what the object's metadata says.
func (n *node) attr() posixattr.Attr {
	return posixattr.Attr{Mode: n.stMode(), Mtime: n.mtime, UID: contract.AgentUID, GID: contract.AgentGID}
}

// stMode is st_mode.
func (n *node) stMode() uint32 { return uint32(n.mode) | n.typeBits() }

func (n *node) typeBits() uint32 {
	switch n.kind {
	case pending.Dir:
		return posixattr.TypeDir
	case pending.Symlink:
		return posixattr.TypeSymlink
	}
	return posixattr.TypeFile
}

// changed marks a change of the node's content or attributes.
func (n *node) changed(now time.Time) {
	n.own().gen++
	n.ctime = now.UnixNano()
}

func (d *dir) child(name string) *node { return d.children.get(name) }

// within says that n is top or below it.
func (n *node) within(top *node) bool {
	for ; n != nil; n = n.parent {
		if n == top {
			return true
		}
	}
	return false
}

// keyOf is the key below the prefix of a path; each component is escaped by itself, so that the
// key of a directory begins the keys of all that is in it.
func keyOf(path string) (string, error) {
	if plain(path) {
		return path, nil
	}
	var b strings.Builder
	for i, c := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if c == "" { // the end of a marker's path
			continue
		}
		k, err := posixattr.Key(c)
		if err != nil {
			return "", err
		}
		b.WriteString(k)
	}
	return b.String(), nil
}

// nameOf is the file name of one component of a key; ok is false for what cannot be one.
func nameOf(component string) (name string, ok bool) {
	if plain(component) {
		name = component
	} else {
		p, _, err := posixattr.Path(component)
		if err != nil {
			return "", false
		}
		name = p
	}
	return name, name != "" && name != "." && name != ".." && len(name) <= MaxName
}

// MaxName is the longest name that programs expect (NAME_MAX), in bytes.
const MaxName = 255

// plain says that a path is its own key: printable ASCII without "%".
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '%' {
			return false
		}
	}
	return true
}
