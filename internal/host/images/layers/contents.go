package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Contents is what a layer holds.
type Contents struct {
	Unpacked int64     `json:"unpacked"` // bytes of its files
	Packed   int64     `json:"packed"`   // bytes of the layer in a registry
	Files    int       `json:"files"`
	Packages []Package `json:"packages"` // the largest first
}

// Package is what belongs together in a layer.
type Package struct {
	Kind  string `json:"kind"` // deb, pip, npm, or files: a folder
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// ContentsOf reads a layer once.
func ContentsOf(layer v1.Layer) (Contents, error) {
	r, err := layer.Uncompressed()
	if err != nil {
		return Contents{}, fmt.Errorf("cannot read a layer: %w", err)
	}
	defer r.Close()
	var (
		c     = &counter{}
		w     = newPacker(c)
		pr    io.Reader
		pw    *io.PipeWriter
		files = map[string]int64{}
		owner = map[string]string{} // path to Debian package
		g     errgroup.Group
	)
	pr, pw = io.Pipe()
	g.Go(func() error { // compressing takes longer than reading: beside it
		_, err := io.Copy(w, pr)
		return errors.Join(err, w.Close())
	})
	tee := io.TeeReader(r, pw)
	err = func() error {
		for tr := tar.NewReader(tee); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				_, err := io.Copy(io.Discard, tee) // what pads the archive is compressed too
				return err
			}
			if err != nil {
				return fmt.Errorf("cannot read a layer: %w", err)
			}
			p := clean(h.Name)
			if h.Typeflag != tar.TypeReg {
				continue
			}
			files[p] = h.Size
			if name, ok := strings.CutSuffix(path.Base(p), ".list"); ok && path.Dir(p) == "var/lib/dpkg/info" {
				list, err := io.ReadAll(tr)
				if err != nil {
					return fmt.Errorf("cannot read %s of a layer: %w", p, err)
				}
				name, _, _ = strings.Cut(name, ":")
				for line := range bytes.Lines(list) {
					owner[clean(strings.TrimSpace(string(line)))] = name
				}
			}
		}
	}()
	pw.CloseWithError(err)
	if err := errors.Join(err, g.Wait()); err != nil {
		return Contents{}, err
	}
	out := Contents{Packed: c.n, Files: len(files)}
	bytesOf := map[Package]int64{}
	for p, size := range files {
		out.Unpacked += size
		bytesOf[belongs(p, owner)] += size
	}
	for p, n := range bytesOf {
		p.Bytes = n
		out.Packages = append(out.Packages, p)
	}
	slices.SortFunc(out.Packages, func(a, b Package) int {
		if a.Bytes != b.Bytes {
			return int(b.Bytes - a.Bytes)
		}
		return strings.Compare(a.Kind+a.Name, b.Kind+b.Name)
	})
	return out, nil
}

// belongs says what a file is a part of: a Debian package, one of Python or of npm (the
// outermost, since others inside are its own), or the folder that it lies in.
func belongs(p string, debs map[string]string) Package {
	if name, ok := debs[p]; ok {
		return Package{Kind: "deb", Name: name}
	}
	// Since Debian merged /usr, dpkg's lists may name a file where it no longer lies.
	if name, ok := debs[strings.TrimPrefix(p, "usr/")]; ok {
		return Package{Kind: "deb", Name: name}
	}
	parts := strings.Split(p, "/")
	for i, part := range parts[:len(parts)-1] {
		next := parts[i+1]
		switch part {
		case "node_modules":
			if strings.HasPrefix(next, "@") && i+2 < len(parts)-1 {
				next += "/" + parts[i+2]
			}
			return Package{Kind: "npm", Name: next}
		case "site-packages", "dist-packages":
			if i+1 == len(parts)-1 {
				return Package{Kind: "pip", Name: strings.TrimSuffix(next, ".py")}
			}
			next, _, _ = strings.Cut(next, "-") // NAME-VERSION.dist-info
			return Package{Kind: "pip", Name: next}
		}
	}
	return Package{Kind: "files", Name: "/" + strings.Join(parts[:min(3, len(parts)-1)], "/")}
}
