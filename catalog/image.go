package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Image is one image.yaml.
type Image struct {
	Name        string `yaml:"name"`
	Version     string `yaml:"version"` // the image's own, by Semantic Versioning 2.0.0
	Tier        Tier   `yaml:"tier"`
	Extends     string `yaml:"extends"` // the NAME below it; "" for the root of the family
	Description string `yaml:"description"`

	Contract Contract `yaml:"contract"`
	Access   Access   `yaml:"access"` // what `sandbox run` gives it unless asked otherwise
	Limits   Limits   `yaml:"limits"`

	// What this image adds to the one that it extends. Names are those of the vocabulary.
	Capabilities []string `yaml:"capabilities"`
	Tools        []string `yaml:"tools"`
	Languages    []string `yaml:"languages"`
	Tasks        []string `yaml:"tasks"`

	// Versions of tools that callers choose by, as exact as they are promised: "3.13" is
	// every 3.13.x. The suite holds them against what the tools say.
	Versions map[string]string `yaml:"versions"`

	Environment map[string]string `yaml:"environment"`

	// Options are contents that a build argument installs; off unless it is given.
	Options []Option `yaml:"options"`
}

// Tier says where in the family an image stands.
type Tier string

// The tiers, from the bottom up.
var tiers = []Tier{"base", "core", "specialized", "task", "variant", "language", "full"}

// Access is an access mode.
type Access string

// The access modes that an image can have by default.
const (
	Restricted Access = "restricted" // no network
	Full       Access = "full"       // the engine's default network
)

// Contract says which contract the image keeps.
type Contract struct {
	Version string `yaml:"version" json:"version"` // the newest that it keeps
	Oldest  string `yaml:"oldest" json:"-"`        // the oldest that it still keeps; "" the same major version's first
	Profile string `yaml:"profile" json:"profile"`
}

// Limits are the resources that a sandbox of this image gets by default.
type Limits struct {
	MemoryMB       int     `yaml:"memory_mb" json:"memory_mb"`
	CPUCores       float64 `yaml:"cpu_cores" json:"cpu_cores"`
	TimeoutSeconds int     `yaml:"timeout_seconds" json:"timeout_seconds"`
	MaxProcesses   int     `yaml:"max_processes" json:"max_processes"`

	// DiskMB is for home and state together; 0: none unless one is asked for.
	DiskMB int `yaml:"disk_mb" json:"disk_mb,omitempty"`
}

// Option is something that is in the image only when its build argument is "1".
type Option struct {
	Arg          string   `yaml:"arg" json:"arg"` // the build argument's name
	Description  string   `yaml:"description" json:"description"`
	Capabilities []string `yaml:"capabilities" json:"capabilities,omitempty"`
	Tools        []string `yaml:"tools" json:"tools,omitempty"`
}

// Made when first needed: a selection reads no image.yaml, and would pay for them at
// each start.
var (
	nameForm    = form(`^[a-z0-9][a-z0-9-]{0,62}$`)
	versionForm = form(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?$`)
	argForm     = form(`^[A-Z][A-Z0-9_]*$`)
)

func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// ParseImage reads one image.yaml and reports every mistake in it, joined. What can be
// said only of the whole family (does the parent exist?) is Load's.
func ParseImage(data []byte) (*Image, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var im Image
	if err := dec.Decode(&im); err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if im.Contract.Oldest == "" {
		im.Contract.Oldest = firstOfMajor(im.Contract.Version)
	}
	return &im, im.validate()
}

func (im *Image) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameForm().MatchString(im.Name) {
		bad("name: %q must be lower-case letters, digits and dashes, at most 63", im.Name)
	}
	if !versionForm().MatchString(im.Version) {
		bad("version: %q must be MAJOR.MINOR.PATCH (semver.org)", im.Version)
	}
	if !slices.Contains(tiers, im.Tier) {
		bad("tier: %q must be one of %q", im.Tier, tiers)
	}
	if im.Description == "" {
		bad("description: is missing; say in one sentence what the image is for")
	}
	if im.Access != Restricted && im.Access != Full {
		bad("access: %q must be %q or %q", im.Access, Restricted, Full)
	}
	for _, field := range []struct {
		name string
		low  bool
		at   any
		min  string
	}{
		{"memory_mb", im.Limits.MemoryMB < 64, im.Limits.MemoryMB, "64 or more"},
		{"cpu_cores", im.Limits.CPUCores <= 0, im.Limits.CPUCores, "more than 0"},
		{"timeout_seconds", im.Limits.TimeoutSeconds < 1, im.Limits.TimeoutSeconds, "1 or more"},
		{"max_processes", im.Limits.MaxProcesses < 1, im.Limits.MaxProcesses, "1 or more"},
		{"disk_mb", im.Limits.DiskMB != 0 && im.Limits.DiskMB < 32, im.Limits.DiskMB, "32 or more, or left out for none"},
	} {
		if field.low {
			bad("limits.%s: %v must be %s", field.name, field.at, field.min)
		}
	}
	for _, o := range im.Options {
		if !argForm().MatchString(o.Arg) {
			bad("options: arg %q must be an upper-case build argument, as WITH_CUDA", o.Arg)
		}
		if o.Description == "" || len(o.Capabilities)+len(o.Tools) == 0 {
			bad("options: %s needs a description and at least one capability or tool", o.Arg)
		}
	}
	return errors.Join(errs...)
}

// firstOfMajor is "1.0.0" for "1.4.2".
func firstOfMajor(version string) string {
	for i, c := range version {
		if c == '.' {
			return version[:i] + ".0.0"
		}
	}
	return version
}
