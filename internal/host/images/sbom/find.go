package sbom

import (
	"archive/tar"
	"bufio"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/host/images/layers"
)

// Package is something that is in an image in a version.
type Package struct {
	Kind    string // deb, pypi, npm, golang: the types of package URLs
	Name    string
	Version string
	Arch    string // of Debian's
	License string // as it says of itself; "" when it does not
	Source  string // the file that says so, below the root
	Digest  string // of a Go module, as go.sum has it
}

// find reads an image. The packages are sorted, each once.
func find(img v1.Image) ([]Package, error) {
	var all []Package
	err := layers.Visible(img, func(e layers.Entry, _ int, r io.Reader) error {
		if e.Typeflag != tar.TypeReg {
			return nil
		}
		found, err := read(e, r)
		if err != nil {
			return fmt.Errorf("cannot read %s of the image: %w", e.Path, err)
		}
		all = append(all, found...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, compare)
	// The same package twice (a program and its copy) is one; the first path stands for it.
	return slices.CompactFunc(all, func(a, b Package) bool {
		return a.Kind == b.Kind && a.Name == b.Name && a.Version == b.Version && a.Arch == b.Arch
	}), nil
}

func compare(a, b Package) int {
	for _, c := range []int{
		strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version),
		strings.Compare(a.Arch, b.Arch), strings.Compare(a.Source, b.Source),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// Files that describe packages are small; what is larger is something else.
const (
	maxText    = 64 << 20 // dpkg's database
	maxProgram = 1 << 30
)

func read(e layers.Entry, r io.Reader) ([]Package, error) {
	dir, base := path.Split(e.Path)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case e.Path == "var/lib/dpkg/status", path.Dir(e.Path) == "var/lib/dpkg/status.d" && !strings.HasSuffix(base, ".md5sums"):
		return debs(e, r)
	case base == "METADATA" && strings.HasSuffix(dir, ".dist-info"), base == "PKG-INFO" && strings.HasSuffix(dir, ".egg-info"), strings.HasSuffix(base, ".egg-info"):
		return python(e, r)
	case base == "package.json" && path.Base(path.Dir(scopeless(dir))) == "node_modules":
		return npm(e, r)
	case e.Mode&0o111 != 0 && e.Size > 64 && e.Size < maxProgram:
		return program(e, r)
	}
	return nil, nil
}

// scopeless is the folder of a package without its scope: node_modules/@scope/name.
func scopeless(dir string) string {
	if parent := path.Dir(dir); strings.HasPrefix(path.Base(parent), "@") {
		return parent
	}
	return dir
}

// debs reads dpkg's database (deb822(5), dpkg(1) on states).
func debs(e layers.Entry, r io.Reader) ([]Package, error) {
	var out []Package
	text := bufio.NewReader(io.LimitReader(r, maxText))
	for tp := textproto.NewReader(text); ; {
		h, err := tp.ReadMIMEHeader()
		if len(h) > 0 && (h.Get("Status") == "" || strings.HasSuffix(h.Get("Status"), " installed")) {
			if h.Get("Package") == "" || h.Get("Version") == "" {
				return nil, fmt.Errorf("a paragraph names no package or version: %v", h)
			}
			out = append(out, Package{Kind: "deb", Name: h.Get("Package"), Version: h.Get("Version"), Arch: h.Get("Architecture"), Source: e.Path})
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// python reads core metadata (packaging.python.org, "Core metadata specifications").
func python(e layers.Entry, r io.Reader) ([]Package, error) {
	h, err := textproto.NewReader(bufio.NewReader(io.LimitReader(r, maxText))).ReadMIMEHeader()
	if len(h) == 0 && err != nil {
		return nil, nil //nolint:nilerr // an .egg-info of another kind
	}
	name, version := h.Get("Name"), h.Get("Version")
	if name == "" || version == "" {
		return nil, nil
	}
	license := h.Get("License-Expression")
	// Names are compared without case and with one kind of dash (the same, "Name normalization").
	name = strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
	return []Package{{Kind: "pypi", Name: name, Version: version, License: license, Source: e.Path}}, nil
}

func npm(e layers.Entry, r io.Reader) ([]Package, error) {
	var p struct {
		Name, Version string
		License       any // a string by today's rules, an object by older ones
	}
	data, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return nil, err
	}
	// A part of a package, or a test's, may have one without a name, or anything else.
	if !json.Valid(data) || json.Unmarshal(data, &p) != nil || p.Name == "" || p.Version == "" {
		return nil, nil //nolint:nilerr // see above
	}
	license, _ := p.License.(string)
	return []Package{{Kind: "npm", Name: p.Name, Version: p.Version, License: license, Source: e.Path}}, nil
}

// program reads what Go's compiler wrote into a program; others have nothing to say.
func program(e layers.Entry, r io.Reader) ([]Package, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if string(head) != "\x7fELF" {
		return nil, nil
	}
	data := make([]byte, e.Size)
	copy(data, head)
	if _, err := io.ReadFull(r, data[len(head):]); err != nil {
		return nil, err
	}
	// A program of another language has no such section.
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, nil //nolint:nilerr // it is not Go's
	}
	out := []Package{{Kind: "golang", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), Source: e.Path}}
	if info.Main.Path != "" {
		out = append(out, Package{Kind: "golang", Name: info.Main.Path, Version: info.Main.Version, Source: e.Path})
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "(devel)" { // a folder has no version
			m = m.Replace
		}
		out = append(out, Package{Kind: "golang", Name: m.Path, Version: m.Version, Digest: m.Sum, Source: e.Path})
	}
	return out, nil
}
