package layers

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Difference is a path at which two stacks of layers differ.
type Difference struct {
	Path   string
	Folder bool // a folder in both, of other owner or mode; else what lies below differs too
}

// Differences compares what two stacks of layers show. Layers that both begin with are not read: what
// lies in the others is compared, and a path that only one of the two stacks speaks of
// counts as different. Of a folder the times do not count: they change with what is put
// into it.
func Differences(as, bs []v1.Layer) ([]Difference, error) {
	n, err := Common(as, bs)
	if err != nil {
		return nil, err
	}
	x, err := stackOf(as[n:])
	if err != nil {
		return nil, err
	}
	y, err := stackOf(bs[n:])
	if err != nil {
		return nil, err
	}
	var out []Difference
	for _, p := range slices.Sorted(maps.Keys(x)) {
		if x[p] != y[p] {
			out = append(out, Difference{strings.TrimSuffix(p, "/"), folder(x[p]) && folder(y[p])})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(y)) {
		if _, both := x[p]; !both {
			out = append(out, Difference{Path: strings.TrimSuffix(p, "/")})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// Common counts the layers that two stacks begin with alike.
func Common(as, bs []v1.Layer) (int, error) {
	for i := range min(len(as), len(bs)) {
		x, err := as[i].DiffID()
		if err != nil {
			return 0, err
		}
		y, err := bs[i].DiffID()
		if err != nil {
			return 0, err
		}
		if x != y {
			return i, nil
		}
	}
	return min(len(as), len(bs)), nil
}

// gone is the state of a path that was taken away.
const gone = "gone"

func folder(state string) bool { return strings.HasPrefix(state, "folder ") }

// stack is in which state layers leave the paths that they speak of.
type stack struct {
	states map[string]string
	holds  map[string]bool // paths that have, or had, others below them
}

func stackOf(all []v1.Layer) (map[string]string, error) {
	s := stack{map[string]string{}, map[string]bool{}}
	for _, l := range all {
		// Whiteouts speak of the layers below, wherever in the archive they stand.
		own := map[string]string{}
		err := Each(l, func(e Entry, r io.Reader) error {
			switch {
			case e.Gone:
				s.remove(e.Path)
				s.states[e.Path] = gone
			case e.Opaque:
				s.remove(e.Path + "/")
				s.states[e.Path+"/"] = "opaque"
			default:
				text, err := state(e, r)
				if err != nil {
					return err
				}
				own[e.Path] = text
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for p, text := range own {
			if !folder(text) {
				s.remove(p)
			}
		}
		for p, text := range own {
			s.states[p] = text
			above(p, func(dir string) bool { s.holds[dir] = true; return false })
		}
	}
	return s.states, nil
}

// remove forgets a path and all below it; of a path that ends in a slash, all below it.
func (s stack) remove(p string) {
	delete(s.states, p)
	p = strings.TrimSuffix(p, "/")
	if !s.holds[p] && p != "." {
		return
	}
	for other := range s.states {
		if p == "." || strings.HasPrefix(other, p+"/") {
			delete(s.states, other)
		}
	}
}

// state is all that matters of an entry, as text.
func state(e Entry, r io.Reader) (string, error) {
	attributes := fmt.Sprintf("%o %d:%d", e.Mode&0o7777, e.Uid, e.Gid)
	for _, k := range slices.Sorted(maps.Keys(e.PAXRecords)) {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			attributes += fmt.Sprintf(" %s=%q", k, e.PAXRecords[k])
		}
	}
	if e.Typeflag == tar.TypeDir {
		return "folder " + attributes, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", fmt.Errorf("cannot read %s of a layer: %w", e.Path, err)
	}
	return fmt.Sprintf("%c %s %d %q %d:%d %s", e.Typeflag, attributes, e.ModTime.Unix(), e.Linkname, e.Devmajor, e.Devminor, hex.EncodeToString(sum.Sum(nil))), nil
}
