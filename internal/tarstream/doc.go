// Package tarstream packs a file or a tree into a stream and unpacks it elsewhere: what
// `sandbox cp` sends into a sandbox and gets out of one. Both ends use it, sandbox-init in the
// container and the operator's program on the host, so that they mean the same.
//
// The stream is a tar archive in the PAX format (POSIX.1-2001, pax, "pax Interchange
// Format") for its names of any length and bytes and its times in nanoseconds. Its first
// entry is what was asked for: a name, or "./" for what is in a directory. All others lie
// below that. It ends as tar archives do; one that ends before is an error, never a short tree.
//
// Kept are permissions, times of change, symbolic links and, within the tree, hard links.
// Not kept are owners, setuid, setgid and sticky bits. Holes are not in the stream; Unpack makes
// them of blocks of zeros. Sockets, FIFOs and devices are left out, and named.
//
// Unpack trusts nothing that it reads: the other end may be an agent. Names that would leave the
// destination are refused, symbolic links are made but never followed, not even within, and
// a file appears under its name whole or not at all. Memory is bounded by the depth of
// the tree (and, at the sending end, by the number of files with several names).
package tarstream

import (
	"strings"
	"sync/atomic"
)

// The roles of sandbox-init that are the ends in the container, exec'd there.
const (
	PackRole   = "-pack"
	UnpackRole = "-unpack"
)

// Progress counts what has passed; it may be read meanwhile.
type Progress struct {
	Files atomic.Int64 // of all kinds
	Bytes atomic.Int64 // of contents
}

// Note is called for what is left out, with the reason.
type Note func(name, reason string)

// permissions are the bits of a mode that travel.
const permissions = 0o777

// contents says whether a path asks for what is in a directory, as cp(1) and docker-cp(1)
// have it.
func contents(path string) bool { return path == "." || strings.HasSuffix(path, "/.") }
