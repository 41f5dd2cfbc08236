package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/dockerfile"
)

// BaseArg is the build argument that every Dockerfile of the family begins with.
const BaseArg = "BASE_IMAGE"

// CoreFile builds base and core, which are stages of it.
const CoreFile = "Dockerfile.core"

// Recipe is what one image is made of.
type Recipe struct {
	Image   string
	File    string // the Dockerfile, below the root of the repository
	Target  string // the stage; "" is the file's last
	Text    string // the instructions that it needs
	Files   []string
	Program bool              // sandbox-init is copied into it
	Parents []string          // images of the family that it begins with or copies from, sorted
	Args    map[string]string // build arguments that name images of the family: argument to image
	Others  []string          // images of others
}

// Set has the recipes of a whole catalog, for one architecture.
type Set struct {
	Catalog *catalog.Catalog
	root    fs.FS
	arch    string
	recipes map[string]*Recipe
}

// Load reads the recipes of images, and of all that they are made of, for an architecture
// (amd64, arm64), and reports every mistake together. Without names it reads those of the
// whole catalog.
func Load(root fs.FS, c *catalog.Catalog, arch string, names ...string) (*Set, error) {
	s := &Set{Catalog: c, root: root, arch: arch, recipes: map[string]*Recipe{}}
	if len(names) == 0 {
		names = c.Names()
	}
	var errs []error
	for todo := slices.Clone(names); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if _, done := s.recipes[name]; done {
			continue
		}
		r, err := s.read(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("image %s: %w", name, err))
			r = &Recipe{Image: name}
		}
		s.recipes[name] = r
		todo = append(todo, r.Parents...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, s.acyclic()
}

// Recipe is that of one image.
func (s *Set) Recipe(name string) *Recipe { return s.recipes[name] }

// Arch is the architecture that the set was loaded for.
func (s *Set) Arch() string { return s.arch }

// place says which file, and which stage of it, builds an image.
func place(root fs.FS, name string) (file, target string, err error) {
	own := "images/" + name + "/Dockerfile"
	switch _, err := fs.Stat(root, own); {
	case err == nil:
		return own, "", nil
	case errors.Is(err, fs.ErrNotExist):
		return CoreFile, name, nil
	default:
		return "", "", err
	}
}

// needs reads what a Dockerfile says an image needs.
func needs(root fs.FS, name, arch string) (*dockerfile.Needs, *Recipe, error) {
	file, target, err := place(root, name)
	if err != nil {
		return nil, nil, err
	}
	data, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, nil, err
	}
	f, err := dockerfile.Parse(file, data)
	if err != nil {
		return nil, nil, err
	}
	n, err := f.Needs(target, platform(arch))
	if err != nil {
		return nil, nil, err
	}
	args, err := f.Defaults()
	if err != nil {
		return nil, nil, err
	}
	return n, &Recipe{Image: name, File: file, Target: target, Text: n.Text, Args: args}, nil
}

// platform are the arguments that the builder sets by itself.
func platform(arch string) map[string]string {
	return map[string]string{
		"TARGETPLATFORM": "linux/" + arch, "TARGETOS": "linux", "TARGETARCH": arch, "TARGETVARIANT": "",
		"BUILDPLATFORM": "linux/" + arch, "BUILDOS": "linux", "BUILDARCH": arch, "BUILDVARIANT": "",
	}
}

func (s *Set) read(name string) (*Recipe, error) {
	n, r, err := needs(s.root, name, s.arch)
	if err != nil {
		return nil, err
	}
	im, err := s.Catalog.Image(name)
	if err != nil {
		return nil, err
	}
	for _, f := range n.Files {
		if isProgram(f) {
			r.Program = true
		} else {
			r.Files = append(r.Files, f)
		}
	}
	maps.DeleteFunc(r.Args, func(_, ref string) bool { return s.named(ref) == "" })
	for arg, ref := range r.Args {
		r.Args[arg] = s.named(ref)
	}
	if im.Extends != "" {
		r.Parents = append(r.Parents, im.Extends)
		if r.Target == "" {
			r.Args[BaseArg] = im.Extends
		}
	}
	for _, ref := range n.Images {
		if parent := s.named(ref); parent != "" {
			r.Parents = append(r.Parents, parent)
		} else {
			r.Others = append(r.Others, ref)
		}
	}
	slices.Sort(r.Parents)
	r.Parents = slices.Compact(r.Parents)
	return r, nil
}

// isProgram says whether a path of the context is sandbox-init, which is compiled and
// lies in no commit.
func isProgram(p string) bool {
	return path.Base(p) == "sandbox-init" && strings.HasPrefix(p, "bin/")
}

// named is the image of the family that a reference names, "" when it names none.
func (s *Set) named(ref string) string {
	name := catalog.Named(ref)
	if _, err := s.Catalog.Image(name); err != nil {
		return ""
	}
	return name
}

// acyclic: COPY --from may close a circle that extends does not show.
func (s *Set) acyclic() error {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(name string, way []string) error
	visit = func(name string, way []string) error {
		way = append(way, name)
		switch state[name] {
		case open:
			return fmt.Errorf("these images are made of each other: %s", strings.Join(way, " from "))
		case done:
			return nil
		}
		state[name] = open
		for _, p := range s.recipes[name].Parents {
			if err := visit(p, way); err != nil {
				return err
			}
		}
		state[name] = done
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.recipes)) {
		if err := visit(name, nil); err != nil {
			return err
		}
	}
	return nil
}

// Closure adds to names all that they are made of, parents first.
func (s *Set) Closure(names []string) []string {
	var out []string
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, p := range s.recipes[name].Parents {
			visit(p)
		}
		out = append(out, name)
	}
	for _, name := range names {
		visit(name)
	}
	return out
}
