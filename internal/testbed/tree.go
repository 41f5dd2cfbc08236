package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Node is what a test compares of one name in a tree.
type Node struct {
	Mode    uint32 // st_mode with its type bits
	Size    int64  // of a file
	Mtime   int64  // nanoseconds
	SHA256  string // of a file's content
	Target  string // of a symbolic link
	Links   uint64 // hard links to it
	Ino     uint64
	Blocks  int64 // of 512 bytes, allocated
	UID     uint32
	GID     uint32
	Content []byte // of a file up to 64 bytes, for messages
}

// Tree is a tree of files, by path below its root.
type Tree map[string]Node

// Type is the type bits of the mode.
func (n Node) Type() uint32 { return n.Mode & unix.S_IFMT }

// IsDir and the like.
func (n Node) IsDir() bool { return n.Type() == unix.S_IFDIR }

// IsFile is true of a regular file.
func (n Node) IsFile() bool { return n.Type() == unix.S_IFREG }

// IsSymlink is true of a symbolic link.
func (n Node) IsSymlink() bool { return n.Type() == unix.S_IFLNK }

// Scan reads a tree, the root itself left out. Names are taken as bytes, links are not followed.
func Scan(t testing.TB, root string) Tree {
	t.Helper()
	tree := Tree{}
	if err := scan(tree, root, ""); err != nil {
		t.Fatalf("cannot read the tree %s: %v", root, err)
	}
	return tree
}

func scan(tree Tree, root, dir string) error {
	d, err := os.Open(filepath.Join(root, dir))
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		path := name
		if dir != "" {
			path = dir + "/" + name
		}
		n, err := read(root + "/" + path)
		if err != nil {
			return err
		}
		tree[path] = n
		if n.IsDir() {
			if err := scan(tree, root, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func read(path string) (Node, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Node{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	n := Node{Mode: st.Mode, Mtime: st.Mtim.Nano(), Links: uint64(st.Nlink), Ino: st.Ino, Blocks: st.Blocks, UID: st.Uid, GID: st.Gid}
	switch n.Type() {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		n.Target = target
		return n, err
	case unix.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return n, err
		}
		defer f.Close()
		h := sha256.New()
		head := make([]byte, 64)
		k, err := io.ReadFull(f, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n, err
		}
		n.Content = head[:k]
		h.Write(n.Content)
		rest, err := io.Copy(h, f)
		n.Size = int64(k) + rest
		n.SHA256 = hex.EncodeToString(h.Sum(nil))
		return n, err
	}
	return n, nil
}

// Kept is what of the tree is promised to be kept: without sockets, FIFOs and devices, without
// setuid and setgid bits.
func (t Tree) Kept() Tree {
	kept := Tree{}
	for p, n := range t {
		if n.IsDir() || n.IsFile() || n.IsSymlink() {
			n.Mode &^= unix.S_ISUID | unix.S_ISGID
			kept[p] = n
		}
	}
	return kept
}

// Without is the tree without some paths, and what is below them.
func (t Tree) Without(paths ...string) Tree {
	out := maps.Clone(t)
	for p := range t {
		for _, w := range paths {
			if p == w || len(p) > len(w) && p[:len(w)] == w && p[len(w)] == '/' {
				delete(out, p)
			}
		}
	}
	return out
}

// Ignore says what Diff does not compare.
type Ignore struct {
	Mtime    bool
	DirMtime bool // of directories alone
	DirMode  bool // of directories that are not empty
	Mode     bool
	Owner    bool
	Content  bool
}

// Diff compares what is with what should be, by content and attributes, and says each
// difference in a line.
func (want Tree) Diff(got Tree, ig Ignore) []string {
	var d []string
	for _, p := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[p]
		if !ok {
			d = append(d, fmt.Sprintf("%q is missing", p))
			continue
		}
		if why := want.differ(p, want[p], g, ig); why != "" {
			d = append(d, fmt.Sprintf("%q: %s", p, why))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok {
			d = append(d, fmt.Sprintf("%q should not be there", p))
		}
	}
	return d
}

func (want Tree) differ(path string, w, g Node, ig Ignore) string {
	switch {
	case w.Type() != g.Type():
		return fmt.Sprintf("type %o, want %o", g.Type(), w.Type())
	case w.Target != g.Target:
		return fmt.Sprintf("leads to %q, want %q", g.Target, w.Target)
	case !ig.Content && w.SHA256 != g.SHA256:
		return fmt.Sprintf("%d bytes %q, want %d bytes %q", g.Size, g.Content, w.Size, w.Content)
	case !ig.Owner && (w.UID != g.UID || w.GID != g.GID):
		return fmt.Sprintf("owner %d:%d, want %d:%d", g.UID, g.GID, w.UID, w.GID)
	case !ig.Mode && w.Mode != g.Mode && !w.IsSymlink() && !(ig.DirMode && w.IsDir() && want.hasBelow(path)):
		return fmt.Sprintf("mode %o, want %o", g.Mode, w.Mode)
	case !ig.Mtime && w.Mtime != g.Mtime && !(ig.DirMtime && w.IsDir()):
		return fmt.Sprintf("mtime %d, want %d", g.Mtime, w.Mtime)
	}
	return ""
}

func (t Tree) hasBelow(dir string) bool {
	for p := range t {
		if len(p) > len(dir) && p[:len(dir)] == dir && p[len(dir)] == '/' {
			return true
		}
	}
	return false
}

// WantTree fails the test with the differences, the first twenty of them.
func WantTree(t testing.TB, want, got Tree, ig Ignore) {
	t.Helper()
	d := want.Diff(got, ig)
	for i, line := range d {
		if i == 20 {
			t.Errorf("and %d more", len(d)-i)
			break
		}
		t.Error(line)
	}
}
