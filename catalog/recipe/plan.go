package recipe

import (
	"errors"
	"io/fs"
	"path"
	"slices"
)

// Kinds of causes.
const (
	New     = "new"        // it was not there before
	File    = "dockerfile" // the instructions that it needs are others
	List    = "packages"   // a list of packages, or the lock of Debian's suites
	Content = "file"       // another file that it is made of
	Program = "go"         // what sandbox-init is compiled from
	Parent  = "parent"     // an image that it is made of is rebuilt
)

// Cause is a reason why an image is rebuilt.
type Cause struct {
	Kind string `json:"kind"`
	What string `json:"what"` // the path, or the image
}

// Rebuild is an image that is rebuilt.
type Rebuild struct {
	Image  string  `json:"image"`
	Level  int     `json:"level"` // those of a level can be built side by side, after those of the levels below
	Causes []Cause `json:"causes"`
}

// Change is how the repository differs from before.
type Change struct {
	Before  fs.FS    // the Dockerfiles as they were
	Paths   []string // that were added, removed or edited
	Program []string // those among them, or others, that sandbox-init is compiled from
}

// Plan says what a change rebuilds, parents before children.
func (s *Set) Plan(change Change) ([]Rebuild, error) {
	ignore, err := s.ignored()
	if err != nil {
		return nil, err
	}
	var out []Rebuild
	at := map[string]int{}
	for _, name := range s.Closure(s.Catalog.Names()) {
		r := s.recipes[name]
		plan := Rebuild{Image: name}
		because := func(kind, what string) {
			if cause := (Cause{kind, what}); !slices.Contains(plan.Causes, cause) {
				plan.Causes = append(plan.Causes, cause)
			}
		}
		if kind := s.instructions(r, change.Before); kind != "" {
			because(kind, r.File)
		}
		for _, p := range change.Paths {
			kind := Content
			switch {
			case p == ".dockerignore": // it decides what a folder is
			case p == Lock || slices.ContainsFunc(r.Files, func(f string) bool { return reads(f, p) }):
				if left, err := ignores(ignore, p); err != nil {
					return nil, err
				} else if left && p != Lock {
					continue
				}
				if ok, _ := path.Match("packages.*", path.Base(p)); ok || p == Lock {
					kind = List
				}
			default:
				continue
			}
			because(kind, p)
		}
		if r.Program {
			for _, p := range change.Program {
				because(Program, p)
			}
		}
		for _, p := range r.Parents {
			if level, ok := at[p]; ok {
				because(Parent, p)
				plan.Level = max(plan.Level, level+1)
			}
		}
		if len(plan.Causes) > 0 {
			at[name] = plan.Level
			out = append(out, plan)
		}
	}
	slices.SortStableFunc(out, func(a, b Rebuild) int { return a.Level - b.Level })
	return out, nil
}

// instructions compares those that an image needs with those that it needed before. What
// cannot be read as it was counts as another.
func (s *Set) instructions(r *Recipe, before fs.FS) string {
	n, _, err := needs(before, r.Image, s.arch)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return New
	case err != nil:
		if _, err := fs.Stat(before, "images/"+r.Image+"/image.yaml"); errors.Is(err, fs.ErrNotExist) {
			return New
		}
		return File
	case n.Text != r.Text:
		return File
	}
	return ""
}

// Levels groups a plan by level.
func Levels(plan []Rebuild) [][]Rebuild {
	var out [][]Rebuild
	for _, r := range plan {
		for len(out) <= r.Level {
			out = append(out, nil)
		}
		out[r.Level] = append(out[r.Level], r)
	}
	return out
}
