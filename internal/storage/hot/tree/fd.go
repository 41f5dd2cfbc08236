package tree

// Fd is the directory's descriptor, O_PATH, for what only takes a descriptor: a watch, or a
// file without a name in the directory's file system. It is the Dir's, and closed with it.
func (d *Dir) Fd() int { return d.fd }
