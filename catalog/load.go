package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/matrx/sandbox/contract/spec"
)

// Catalog is a family of images.
type Catalog struct {
	images map[string]*Image
	vocab  *spec.Vocabulary
}

// Load reads images/*/image.yaml below root, and reports every mistake in all of them
// together, each with its file.
func Load(root fs.FS) (*Catalog, error) {
	files, err := fs.Glob(root, "images/*/image.yaml")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("cannot load the catalog: no images/*/image.yaml here; run this in a checkout of the repository, or say where it is")
	}
	c := &Catalog{images: map[string]*Image{}, vocab: spec.CurrentVocabulary()}
	var errs []error
	for _, file := range files {
		data, err := fs.ReadFile(root, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		im, err := ParseImage(data)
		if err != nil {
			errs = append(errs, prefixed(file, err)...)
		}
		if im == nil {
			continue
		}
		if folder := path.Base(path.Dir(file)); im.Name != folder {
			errs = append(errs, fmt.Errorf("%s: name: %q must be the folder's name, %q", file, im.Name, folder))
		}
		c.images[im.Name] = im
	}
	errs = append(errs, c.validate()...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// prefixed names the file in each of the errors that were joined.
func prefixed(file string, err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{fmt.Errorf("%s: %w", file, err)}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, fmt.Errorf("%s: %w", file, e))
	}
	return out
}

// validate checks what can be said only of the family as a whole.
func (c *Catalog) validate() []error {
	var errs []error
	current := spec.Current()
	for _, name := range slices.Sorted(maps.Keys(c.images)) {
		im := c.images[name]
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("images/%s/image.yaml: "+format, append([]any{name}, args...)...))
		}
		if im.Extends != "" && c.images[im.Extends] == nil {
			bad("extends: there is no image %q; there are %q", im.Extends, slices.Sorted(maps.Keys(c.images)))
		}
		if c.circular(name) {
			bad("extends: %q extends itself, by way of others", name)
			continue
		}
		version, err := spec.ParseVersion(im.Contract.Version)
		if err != nil {
			bad("contract.version: %w", err)
		} else if version.Compare(current.Version) > 0 {
			bad("contract.version: %s is newer than the contract itself, %s", version, current.Version)
		}
		if _, err := current.For(im.Contract.Profile, current.Version); err != nil {
			bad("contract.profile: %w", err)
		}
		capabilities, tools := slices.Clone(im.Capabilities), slices.Clone(im.Tools)
		for _, o := range im.Options {
			capabilities, tools = append(capabilities, o.Capabilities...), append(tools, o.Tools...)
		}
		for _, n := range capabilities {
			if _, ok := c.vocab.Capabilities[n]; !ok {
				bad("capabilities: %q is not in contract/capabilities.yaml; add it there with a probe, or correct the name", n)
			}
		}
		for _, n := range tools {
			if _, ok := c.vocab.Tools[n]; !ok {
				bad("tools: %q is not in contract/capabilities.yaml; add it there with a probe, or correct the name", n)
			}
		}
		for _, n := range slices.Sorted(maps.Keys(im.Versions)) {
			if !c.hasTool(name, n) {
				bad("versions: %q is not among the image's tools", n)
			}
			if _, err := parseNumbers(im.Versions[n]); err != nil {
				bad("versions: %s: %w", n, err)
			}
		}
	}
	return errs
}

// hasTool says whether an image or one below it names a tool.
func (c *Catalog) hasTool(name, tool string) bool {
	for im := c.images[name]; im != nil; im = c.images[im.Extends] {
		if slices.Contains(im.Tools, tool) || slices.ContainsFunc(im.Options, func(o Option) bool { return slices.Contains(o.Tools, tool) }) {
			return true
		}
	}
	return false
}

func (c *Catalog) circular(name string) bool {
	seen := map[string]bool{}
	for im := c.images[name]; im != nil; im = c.images[im.Extends] {
		if seen[im.Name] {
			return true
		}
		seen[im.Name] = true
	}
	return false
}

// Image finds one by its name; the error names those that there are.
func (c *Catalog) Image(name string) (*Image, error) {
	if im, ok := c.images[name]; ok {
		return im, nil
	}
	return nil, fmt.Errorf("there is no image %q; there are %q", name, c.Names())
}

// Names lists the images, parents before children, otherwise by name.
func (c *Catalog) Names() []string {
	var out []string
	for _, level := range c.Levels() {
		out = append(out, level...)
	}
	return out
}

// Ancestors lists an image's parents, the nearest first.
func (c *Catalog) Ancestors(name string) []*Image {
	var out []*Image
	for im := c.images[name]; im != nil && im.Extends != ""; {
		im = c.images[im.Extends]
		out = append(out, im)
	}
	return out
}
