// Package ignore says which paths of the home are left out: neither hydrated, nor
// uploaded, nor deleted.
//
// The rules are lines in the syntax of gitignore(5): those of HOT_SYNC_EXCLUDE first,
// then those of the .sandboxignore file at the top of the home, which may take them
// back with "!". The last line that matches decides, and nothing below a directory
// that is left out can be taken back. The meaning is git's to the letter; where the
// manual page leaves room, `git check-ignore` decides, which the tests compare with.
// Files of that name further down have no meaning.
//
// Three things are fixed: .sandboxignore itself is always kept, and the temporary names
// of package tree never are, nor what is mounted into the home and all below it.
//
// A rule is matched by simulating all its states at once, so that no line, however
// hostile, takes more than its length times that of the path.
package ignore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// FileName is the file of rules at the top of the home.
const FileName = ".sandboxignore"

// What is read of a .sandboxignore. A file that has more is a mistake, and
// memory is bounded.
const (
	MaxFile  = 1 << 20
	maxRules = 5_000
)

// Rules is a list of rules, safe for concurrent use. A nil *Rules leaves out the
// temporary names alone.
type Rules struct {
	rules    []rule
	names    map[string]lastRule // rules that are one name without wildcards
	paths    map[string]lastRule // rules that are one path without wildcards
	general  []int               // the other rules, in order
	mounts   []string            // left out, even where a rule takes them in
	problems []string
}

// lastRule is the last of several rules for the same text; -1 for none.
type lastRule struct{ any, dir int }

// New takes the patterns of HOT_SYNC_EXCLUDE and the content of .sandboxignore. A
// pattern that can never match is an error; a line of the file that cannot is one of
// Problems, as git is silent about it.
func New(patterns []string, sandboxignore []byte) (*Rules, error) {
	r := &Rules{names: map[string]lastRule{}, paths: map[string]lastRule{}}
	for _, p := range patterns {
		if strings.ContainsAny(p, "\n\x00") {
			return nil, fmt.Errorf("exclude pattern %q: a pattern is one line", p)
		}
		if err := r.add(p); err != nil {
			return nil, fmt.Errorf("exclude pattern %q: %w", p, err)
		}
	}
	r.addFile(sandboxignore)
	return r, nil
}

// WithMounts are the same rules, which leave out these paths too, and all below them: what is
// mounted there is not the home. The paths are in order.
func (r *Rules) WithMounts(paths []string) *Rules {
	with := *r
	with.mounts = paths
	return &with
}

// Mounts are the paths that WithMounts was given.
func (r *Rules) Mounts() []string {
	if r == nil {
		return nil
	}
	return r.mounts
}

// Problems are the lines of .sandboxignore that can never match, each a sentence.
func (r *Rules) Problems() []string { return r.problems }

func (r *Rules) addFile(content []byte) {
	if len(content) > MaxFile {
		r.problems = append(r.problems, fmt.Sprintf("only the first %d bytes of %s are read", MaxFile, FileName))
		content = content[:MaxFile]
	}
	text := strings.TrimPrefix(string(content), "\ufeff")
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if len(r.rules) >= maxRules {
			r.problems = append(r.problems, fmt.Sprintf("%s: what follows line %d is not read: more than %d rules", FileName, n-1, maxRules))
			return
		}
		line, _, _ = strings.Cut(line, "\x00") // git's lines are C strings
		if err := r.add(strings.TrimSuffix(line, "\r")); err != nil {
			r.problems = append(r.problems, fmt.Sprintf("%s line %d: %v", FileName, n, err))
		}
	}
}

func (r *Rules) add(line string) error {
	ru, ok, err := parse(line)
	if !ok || err != nil {
		return err
	}
	i := len(r.rules)
	r.rules = append(r.rules, ru)
	switch {
	case ru.tokens != nil || ru.suffix:
		r.general = append(r.general, i)
	case ru.wholePath:
		put(r.paths, ru.text, ru.dirOnly, i)
	default:
		put(r.names, ru.text, ru.dirOnly, i)
	}
	return nil
}

func put(m map[string]lastRule, text string, dirOnly bool, i int) {
	last, ok := m[text]
	if !ok {
		last = lastRule{-1, -1}
	}
	if dirOnly {
		last.dir = i
	} else {
		last.any = i
	}
	m[text] = last
}

// Match says whether a path of the home, itself or a directory above it, is left out.
func (r *Rules) Match(path string, isDir bool) bool {
	for i := range len(path) {
		if path[i] == '/' && r.MatchEntry(path[:i], true) {
			return true
		}
	}
	return r.MatchEntry(path, isDir)
}

// MatchEntry is Match of a path whose directory is known to be kept: what a walk asks,
// which does not enter what is left out.
func (r *Rules) MatchEntry(path string, isDir bool) bool {
	_, name := tree.Split(path)
	if tree.IsTemp(name) {
		return true
	}
	if _, mounted := slices.BinarySearch(r.Mounts(), path); mounted {
		return true
	}
	if r == nil || path == FileName {
		return false
	}
	best := max(last(r.names, name, isDir), last(r.paths, path, isDir))
	for k := len(r.general) - 1; k >= 0 && r.general[k] > best; k-- {
		if i := r.general[k]; r.rules[i].matches(path, name, isDir) {
			best = i
		}
	}
	return best >= 0 && !r.rules[best].negated
}

func last(m map[string]lastRule, text string, isDir bool) int {
	l, ok := m[text]
	if !ok {
		return -1
	}
	if isDir {
		return max(l.any, l.dir)
	}
	return l.any
}
