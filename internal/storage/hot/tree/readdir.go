package tree

import (
	"bytes"
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Entry is a name in a directory. Type is the S_IFMT part of its mode where the file
// system tells it while listing, else 0.
type Entry struct {
	Name string
	Type uint32
}

// IsDir says that the listing called the entry a directory; when Type is 0 it takes an Lstat to know.
func (e Entry) IsDir() bool { return e.Type == unix.S_IFDIR }

// direntBuffer is what one getdents64(2) may fill: some 1,000 entries.
const direntBuffer = 32 << 10

// Entries lists the directory in the file system's order, without "." and "..". A
// listing that did not reach its end is said by an error as the last element: who
// infers from an absence must not do so then.
func (d *Dir) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		// A descriptor of its own: O_PATH cannot be read, and two listings of one
		// Dir must not share an offset.
		fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			yield(Entry{}, pathError("open", d.path, err))
			return
		}
		defer unix.Close(fd)
		buf := make([]byte, direntBuffer)
		for {
			n, err := unix.Getdents(fd, buf)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				yield(Entry{}, pathError("readdir", d.path, err))
				return
			}
			if n == 0 {
				return
			}
			if !eachDirent(buf[:n], func(e Entry) bool { return yield(e, nil) }) {
				return
			}
		}
	}
}

// eachDirent walks the records of getdents64(2): 8 bytes inode, 8 offset, 2 length of
// the record, 1 type, then the name up to a NUL.
func eachDirent(buf []byte, yield func(Entry) bool) bool {
	const nameAt = 19
	for len(buf) > nameAt {
		size := int(binary.NativeEndian.Uint16(buf[16:]))
		if size <= nameAt || size > len(buf) {
			return true
		}
		name := buf[nameAt:size]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if s := string(name); s != "." && s != ".." {
			// DT_* is the type part of the mode shifted by 12 (readdir(3), IFTODT).
			if !yield(Entry{Name: s, Type: uint32(buf[18]) << 12}) {
				return false
			}
		}
		buf = buf[size:]
	}
	return true
}
