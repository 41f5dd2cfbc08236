package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// Entry is one change of a layer.
type Entry struct {
	Path        string // below the root, without a slash at either end; "." is the root
	Gone        bool   // what was there is taken away
	Opaque      bool   // what was in this folder is taken away
	*tar.Header        // nil when Gone or Opaque
}

// Each calls f with the entries of a layer, in its order. r is the content of a file, and
// lasts until f returns.
func Each(layer v1.Layer, f func(e Entry, r io.Reader) error) error {
	rc, err := layer.Uncompressed()
	if err != nil {
		return fmt.Errorf("cannot read a layer: %w", err)
	}
	defer rc.Close()
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read a layer: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e := Entry{Path: clean(h.Name), Header: h}
		switch dir, name := path.Split(e.Path); {
		case name == opaque:
			e = Entry{Path: clean(dir), Opaque: true}
		case strings.HasPrefix(name, whiteout):
			e = Entry{Path: clean(dir + strings.TrimPrefix(name, whiteout)), Gone: true}
		}
		if err := f(e, tr); err != nil {
			return err
		}
	}
}

// clean makes a name of a tar archive a path below the root, wherever it points.
func clean(name string) string {
	if p := strings.TrimPrefix(path.Clean("/"+name), "/"); p != "" {
		return p
	}
	return "."
}

// above calls f with the folders above a path, the nearest first, the root excepted.
func above(p string, f func(dir string) bool) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if f(dir) {
			return true
		}
	}
	return false
}
