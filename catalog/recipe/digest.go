package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// form is changed when the same inputs make another image: by another way to build.
const form = "matrx-sandbox recipe 1"

// Lock holds the state of Debian's suites. Mirrors change without any file here changing;
// the lock stands for them in every image's inputs.
const Lock = "images/debian.lock"

// Inputs are the inputs of one image that lie in no file of the repository.
type Inputs struct {
	Program string            // the digest of the sandbox-init that is copied
	Args    map[string]string // build arguments beside the parents', by name
}

// Digests computes, for each name and all that it is made of, the digest of its inputs:
// "sha256:" and 64 hexadecimal digits.
func (s *Set) Digests(names []string, in func(name string) (Inputs, error)) (map[string]string, error) {
	ignore, err := s.ignored()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range s.Closure(names) {
		inputs, err := in(name)
		if err != nil {
			return nil, err
		}
		if out[name], err = s.digest(name, func(parent string) string { return Tag(out[parent]) }, inputs, ignore); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// On is the digest of an image's inputs with parents of other inputs than they have now:
// tags has theirs by name. It tells whether an image that was made on such parents is made
// of what the checkout has.
func (s *Set) On(name string, tags map[string]string, in Inputs) (string, error) {
	ignore, err := s.ignored()
	if err != nil {
		return "", err
	}
	return s.digest(name, func(parent string) string { return tags[parent] }, in, ignore)
}

// digest is that of one image, whose parents are known by the tags of their inputs.
func (s *Set) digest(name string, parent func(string) string, in Inputs, ignore *patternmatcher.PatternMatcher) (string, error) {
	r := s.recipes[name]
	h := sha256.New()
	field := func(kind, key, value string) { fmt.Fprintf(h, "%s %q %q\n", kind, key, value) }
	field("form", form, s.arch)
	field("text", r.Target, r.Text)
	for _, p := range r.Parents {
		field("parent", p, parent(p))
	}
	for _, k := range slices.Sorted(maps.Keys(in.Args)) {
		field("arg", k, in.Args[k])
	}
	if r.Program {
		if in.Program == "" {
			return "", fmt.Errorf("cannot tell what %s is made of: the digest of sandbox-init is unknown", name)
		}
		field("program", "sandbox-init", in.Program)
	}
	for _, pattern := range append([]string{Lock}, r.Files...) {
		if err := s.file(h, pattern, ignore); err != nil {
			return "", fmt.Errorf("cannot read what %s is made of: %w", name, err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// file writes what a pattern of the context stands for. Of modes the x bit counts: git
// keeps no other.
func (s *Set) file(h io.Writer, pattern string, ignore *patternmatcher.PatternMatcher) error {
	matches, err := fs.Glob(s.root, pattern)
	if err != nil {
		return err
	}
	if len(matches) == 0 {
		return fmt.Errorf("there is no %s: %w", pattern, fs.ErrNotExist)
	}
	for _, match := range matches {
		err := fs.WalkDir(s.root, match, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if left, err := ignores(ignore, p); err != nil || left && !d.IsDir() {
				return err
			}
			switch {
			case d.IsDir():
				if p == ".git" || p == ".cache" {
					return fs.SkipDir
				}
				return nil
			case d.Type()&fs.ModeSymlink != 0:
				to, err := fs.ReadLink(s.root, p)
				if err != nil {
					return err
				}
				fmt.Fprintf(h, "link %q %q\n", p, to)
				return nil
			case !d.Type().IsRegular():
				return nil // no builder sends it
			}
			return s.content(h, p, d)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) content(h io.Writer, p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	f, err := s.root.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	fmt.Fprintf(h, "file %q %v %x\n", p, info.Mode()&0o111 != 0, sum.Sum(nil))
	return nil
}

// ignored reads .dockerignore: what it names, the builder does not see.
func (s *Set) ignored() (*patternmatcher.PatternMatcher, error) {
	f, err := s.root.Open(".dockerignore")
	if errors.Is(err, fs.ErrNotExist) {
		return patternmatcher.New(nil)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read .dockerignore: %w", err)
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("cannot read .dockerignore: %w", err)
	}
	return m, nil
}

func ignores(m *patternmatcher.PatternMatcher, p string) (bool, error) {
	if p == "." {
		return false, nil
	}
	return m.MatchesOrParentMatches(p)
}

// reads says whether a pattern of the context takes in a path: the path itself, a folder
// above it, or a pattern that matches one of the two.
func reads(pattern, p string) bool {
	for at := p; at != "."; at = path.Dir(at) {
		if ok, err := path.Match(pattern, at); at == pattern || ok && err == nil {
			return true
		}
	}
	return pattern == "."
}

// short is a digest as a tag has it.
func short(digest string) string {
	return strings.TrimPrefix(digest, "sha256:")[:16]
}

// TagPrefix begins the tags that are made from digests of inputs.
const TagPrefix = "inputs-"

// Tag is the tag of an image that was built from inputs of this digest.
func Tag(digest string) string { return TagPrefix + short(digest) }
