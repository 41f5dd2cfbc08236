package posixattr

import (
	"strconv"
)

// Names of user metadata, without "x-amz-meta-".
const (
	permissionsKey = "file-permissions"
	ownerKey       = "file-owner"
	groupKey       = "file-group"
	mtimeKey       = "file-mtime"

	// WriteIDKey holds the random id of the write that made the object: a writer that
	// lost the answer to a write sees by it whether that write arrived.
	WriteIDKey = "sandbox-write"

	// WholeKey marks an object that is a database as one file, and names the kind: objects of the
	// files that belong to it are older than it, and no part of it any more.
	WholeKey = "sandbox-whole"

	holesKey = "sandbox-holes"
)

// The file types of st_mode (inode(7)); those of package syscall are the platform's.
const (
	TypeMask    uint32 = 0o170000
	TypeFile    uint32 = 0o100000
	TypeDir     uint32 = 0o040000
	TypeSymlink uint32 = 0o120000

	setID uint32 = 0o6000
)

// Attr is what is kept of an inode.
type Attr struct {
	Mode     uint32 // st_mode, with the type bits
	Mtime    int64  // nanoseconds since the epoch
	UID, GID uint32

	// Holes is how many bytes of a sparse file's size take no room on its disk; 0 for others.
	Holes int64
}

// Type is the type bits of the mode.
func (a Attr) Type() uint32 { return a.Mode & TypeMask }

// Perm is the mode without its type bits.
func (a Attr) Perm() uint32 { return a.Mode &^ TypeMask }

// Encode writes the attributes as user metadata, with the id of the write when it is
// not empty. All of it together is some 150 bytes; S3 allows 2 KB.
func Encode(a Attr, writeID string) map[string]string {
	m := make(map[string]string, 6)
	m[permissionsKey] = octal(a.Mode)
	m[ownerKey] = strconv.FormatUint(uint64(a.UID), 10)
	m[groupKey] = strconv.FormatUint(uint64(a.GID), 10)
	m[mtimeKey] = strconv.FormatInt(a.Mtime, 10) + "ns"
	if a.Holes > 0 {
		m[holesKey] = strconv.FormatInt(a.Holes, 10)
	}
	if writeID != "" {
		m[WriteIDKey] = writeID
	}
	return m
}

// octal writes a mode as the tools above do: a leading zero and at least six digits.
func octal(mode uint32) string {
	s := strconv.FormatUint(uint64(mode), 8)
	return "0000000"[:max(1, 7-len(s))] + s
}
