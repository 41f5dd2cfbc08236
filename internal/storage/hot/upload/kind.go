package upload

import "golang.org/x/sys/unix"

// Kept tells whether S3 keeps files of a type (the S_IFMT part of a mode): sockets, FIFOs and
// devices have no content that another machine could use.
func Kept(mode uint32) bool {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFDIR:
		return true
	}
	return false
}
