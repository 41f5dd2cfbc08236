package hot

// inodes are paths by the inode of their file, one of each. A rename keeps the inode, so that a new name tells
// which the old one was.
type inodes struct {
	path map[uint64]string
	ino  map[string]uint64
}

func newInodes() inodes { return inodes{path: map[uint64]string{}, ino: map[string]uint64{}} }

// set says that a path's file has an inode, and no other path's.
func (n inodes) set(ino uint64, path string) {
	n.drop(path)
	if old, ok := n.path[ino]; ok {
		delete(n.ino, old)
	}
	n.path[ino], n.ino[path] = path, ino
}

func (n inodes) drop(path string) {
	if ino, ok := n.ino[path]; ok {
		delete(n.ino, path)
		delete(n.path, ino)
	}
}
