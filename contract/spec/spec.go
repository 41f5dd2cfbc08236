// Package spec is the contract as typed data: requirements with stable IDs,
// levels and profiles, read from contract.yaml.
//
// IDs, levels and the meaning of released requirements are stable within a major
// version; Compare is what holds that line.
package spec

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/matrx/sandbox/contract"
)

// Level says how binding a requirement is, as in RFC 2119.
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// strength orders levels: a higher one binds more.
func (l Level) strength() int { return slices.Index([]Level{May, Should, Must}, l) }

// Spec is one version of the contract.
type Spec struct {
	Version      Version       `yaml:"version"`
	Profiles     []Profile     `yaml:"profiles"`
	Requirements []Requirement `yaml:"requirements"`
}

// Profile is a set of requirements that an image can keep.
type Profile struct {
	Name     string   `yaml:"name"`
	Includes []string `yaml:"includes,omitempty"` // profiles whose requirements belong to this one too
	Text     string   `yaml:"text"`
}

// Requirement is one promise.
type Requirement struct {
	ID       string   `yaml:"id"` // FAMILY-NNN, never used again for anything else
	Level    Level    `yaml:"level"`
	Since    Version  `yaml:"since"`
	Profile  string   `yaml:"profile"`
	Features []string `yaml:"features"`
	Needs    []string `yaml:"needs,omitempty"` // IDs without which this one cannot be judged
	Command  *Command `yaml:"command,omitempty"`
	Module   string   `yaml:"module,omitempty"` // a Python module that must be importable
	Text     string   `yaml:"text"`
	Why      string   `yaml:"why"`
}

// Family is the part of the ID before the dash: "LIFE" of "LIFE-003".
func (r Requirement) Family() string {
	family, _, _ := bytes.Cut([]byte(r.ID), []byte("-"))
	return string(family)
}

// Command is a program that must be found on PATH in at least a version.
type Command struct {
	Name  string   `yaml:"name"`
	Args  []string `yaml:"args"`
	Match string   `yaml:"match"` // a regular expression on the output, whose first group is the version
	Min   Version  `yaml:"min"`
}

// Current is the contract that this module carries. It panics when the embedded
// file is not valid, which a test excludes.
func Current() *Spec {
	s, err := Parse(contract.YAML)
	if err != nil {
		panic(err)
	}
	return s
}

// Parse reads a contract and reports every mistake in it, joined.
func Parse(data []byte) (*Spec, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var s Spec
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("cannot read the contract: %w", err)
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Requirement finds one by its ID.
func (s *Spec) Requirement(id string) (Requirement, bool) {
	i := slices.IndexFunc(s.Requirements, func(r Requirement) bool { return r.ID == id })
	if i < 0 {
		return Requirement{}, false
	}
	return s.Requirements[i], true
}

// For lists the requirements of a profile, those of the profiles that it
// includes among them, that exist since at most the given version, in the
// contract's order. An unknown profile is an error.
func (s *Spec) For(profile string, at Version) ([]Requirement, error) {
	included, err := s.included(profile)
	if err != nil {
		return nil, err
	}
	var out []Requirement
	for _, r := range s.Requirements {
		if slices.Contains(included, r.Profile) && r.Since.Compare(at) <= 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// Includes says whether a profile is another or includes it.
func (s *Spec) Includes(profile, other string) bool {
	all, err := s.included(profile)
	return err == nil && slices.Contains(all, other)
}

func (s *Spec) included(profile string) ([]string, error) {
	i := slices.IndexFunc(s.Profiles, func(p Profile) bool { return p.Name == profile })
	if i < 0 {
		names := make([]string, len(s.Profiles))
		for i, p := range s.Profiles {
			names[i] = p.Name
		}
		return nil, fmt.Errorf("the contract has no profile %q; it has %q", profile, names)
	}
	all := []string{profile}
	for _, sub := range s.Profiles[i].Includes {
		more, err := s.included(sub)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

var idForm = regexp.MustCompile(`^[A-Z]+-[0-9]{3}$`)

func (s *Spec) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	seen := map[string]bool{}
	for i, p := range s.Profiles {
		for _, sub := range p.Includes {
			// Only earlier ones, so that inclusion has no circle.
			if !slices.ContainsFunc(s.Profiles[:i], func(q Profile) bool { return q.Name == sub }) {
				bad("profile %q includes %q, which is not declared before it", p.Name, sub)
			}
		}
	}
	for _, r := range s.Requirements {
		if !idForm.MatchString(r.ID) {
			bad("requirement %q: an ID is FAMILY-NNN", r.ID)
		}
		if seen[r.ID] {
			bad("requirement %s is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Level.strength() < 0 {
			bad("requirement %s: level %q is none of MUST, SHOULD, MAY", r.ID, r.Level)
		}
		if _, err := s.included(r.Profile); err != nil {
			bad("requirement %s: %w", r.ID, err)
		}
		if r.Since.Compare(s.Version) > 0 {
			bad("requirement %s: since %s is later than the contract's own version %s", r.ID, r.Since, s.Version)
		}
		if len(r.Features) == 0 || r.Text == "" || r.Why == "" {
			bad("requirement %s: features, text and why are all needed", r.ID)
		}
		if r.Command != nil {
			if re, err := regexp.Compile(r.Command.Match); err != nil || re.NumSubexp() != 1 {
				bad("requirement %s: command.match must be a regular expression with one group, not %q", r.ID, r.Command.Match)
			}
		}
		for _, need := range r.Needs {
			if _, ok := s.Requirement(need); !ok {
				bad("requirement %s needs %s, which does not exist", r.ID, need)
			}
		}
	}
	for _, r := range s.Requirements {
		if s.circular(r.ID, nil) {
			bad("requirement %s needs itself, by way of others", r.ID)
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) circular(id string, path []string) bool {
	if slices.Contains(path, id) {
		return true
	}
	r, _ := s.Requirement(id)
	return slices.ContainsFunc(r.Needs, func(need string) bool { return s.circular(need, append(slices.Clone(path), id)) })
}
