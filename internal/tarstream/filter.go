package tarstream

import (
	"archive/tar"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"path/filepath"
)

// Filter passes a stream on to another tar, and refuses what Unpack would refuse. What reads it next may
// resolve the names as paths, and write over what is there without a look: no entry is passed on that lies
// below a link which the archive has made, or would be written over one.
func Filter(w io.Writer, r io.Reader, p *Progress) error {
	if p == nil {
		p = &Progress{}
	}
	s := newStream(r, false)
	out := tar.NewWriter(w)
	seen := newNames()
	for first := true; ; first = false {
		h, name, err := s.next()
		if errors.Is(err, io.EOF) {
			if first {
				return ErrCut // there is always a first entry
			}
			return out.Close()
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
		default:
			return fmt.Errorf("the archive has %q, which is neither a file, a directory nor a link", h.Name)
		}
		if first {
			s.one = h.Typeflag != tar.TypeDir
		} else if name == "." && s.one {
			return fmt.Errorf("the archive has %q twice", h.Name)
		}
		if err := seen.add(h, name); err != nil {
			return fmt.Errorf("the archive has the name %q, %w; nothing is written there", h.Name, err)
		}
		clean := &tar.Header{Format: tar.FormatPAX, Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode, ModTime: h.ModTime, Uid: h.Uid, Gid: h.Gid}
		if h.Typeflag == tar.TypeLink && s.top != "." {
			clean.Linkname = filepath.Join(s.top, h.Linkname)
		}
		if err := out.WriteHeader(clean); err != nil {
			return err
		}
		if _, err := io.Copy(counted{out, p}, s.tar); err != nil {
			return cut(err)
		}
		p.Files.Add(1)
	}
}

// names are the directories and the symbolic links that an archive has made: true is a directory. Their
// digests are kept, which take the same room for every name. A sender cannot choose two names of one digest,
// since it does not know the seed.
type names struct {
	seed maphash.Seed
	dirs map[uint64]bool
}

// mostNames bounds the memory that a sender can have taken, to some 500 MB.
const mostNames = 1 << 24

func newNames() names { return names{maphash.MakeSeed(), make(map[uint64]bool)} }

// add takes an entry down, and refuses one that another tar might write elsewhere. Each directory comes before
// what is in it, as Pack sends them.
func (n names) add(h *tar.Header, name string) error {
	dir, known := n.dirs[n.digest(name)]
	switch {
	case name != "." && !n.isDir(path.Dir(name)):
		return errors.New("which does not lie in a directory of the archive")
	case known && !dir:
		return errors.New("which is a link of the archive")
	case known && h.Typeflag != tar.TypeDir:
		return errors.New("which is a directory of the archive")
	case h.Typeflag == tar.TypeLink && (name == "." || !n.mayLink(h.Linkname)):
		return fmt.Errorf("a link to %q, which is no file of the archive", h.Linkname)
	case len(n.dirs) >= mostNames:
		return errors.New("after too many others")
	}
	if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeSymlink {
		n.dirs[n.digest(name)] = h.Typeflag == tar.TypeDir
	}
	return nil
}

// mayLink says that a name is neither a directory nor a link, and lies below no link.
func (n names) mayLink(name string) bool {
	_, known := n.dirs[n.digest(name)]
	return !known && n.isDir(path.Dir(name))
}

func (n names) isDir(name string) bool { return n.dirs[n.digest(name)] }

func (n names) digest(name string) uint64 { return maphash.String(n.seed, name) }
