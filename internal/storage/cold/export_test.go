package cold

import "reflect"

// What the tests of the mounted file system know of it.
var KeyOf = keyOf

const MaxFile = maxFile

// SetMaxCopy has objects be copied in parts from a smaller size on.
func SetMaxCopy(n int64) { maxCopy = n }

// Extras are the paths of which more is kept than what a listing tells.
func Extras(fs *FS) []string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	paths := []string{}
	var walk func(n *node)
	walk = func(n *node) {
		if n.extra != &nothing && !n.isDir() {
			paths = append(paths, n.path())
		}
		if n.isDir() {
			for c := range n.dir.children.all() {
				walk(c)
			}
		}
	}
	for c := range fs.tree.root.dir.children.all() {
		walk(c)
	}
	return paths
}

// ShareIndex does what is done a minute after a change.
func ShareIndex(fs *FS) { fs.index.publish(fs.ctx, fs.store.ServerDate().Unix()) }

// NothingIsWritten says that no node has written to what nodes share.
func NothingIsWritten() bool { return reflect.ValueOf(nothing).IsZero() }
