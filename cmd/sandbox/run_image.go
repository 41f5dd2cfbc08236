package main

import (
	"fmt"
	"strings"

	"github.com/matrx/sandbox/catalog"
)

// choice are the flags that say which image to run: its name, or what it must have.
type choice struct {
	Image string `group:"image" placeholder:"REF" help:"Image to run."`

	Variant  string `group:"image" placeholder:"NAME" help:"Image of the family to run, by its short name: core, base, ml, ..."`
	Version  string `group:"image" placeholder:"VERSION" help:"The version of --variant; latest when not given."`
	Registry string `group:"image" placeholder:"BASE" help:"What goes before the references of the family's images, as registry.example.com/team."`

	Task       string   `group:"image" placeholder:"TASK" help:"Run the image that sandbox select selects: for a task,"`
	Runtime    string   `group:"image" placeholder:"RUNTIME" help:"for a runtime, with or without a version,"`
	Capability []string `group:"image" placeholder:"NAME" help:"for what it must be able to do (repeatable),"`
	Tool       []string `group:"image" sep:"none" placeholder:"NAME" help:"for a command that it must have (repeatable)."`
	Prefer     []string `group:"image" placeholder:"IMAGE" help:"An image to take if it has all that is asked. Repeatable."`
	Untested   bool     `group:"image" help:"Also take registered images that the suite has not passed."`
}

// chosen is an image to run.
type chosen struct {
	reference string
	digest    string // what it must be, when that is known
	why       string // empty: it was named
}

// choose finds the image, and every contradiction in what was asked. What no image has is said as
// `sandbox select` says it.
func (c choice) choose() (chosen, error) {
	needs := c.given(map[string]bool{"--task": c.Task != "", "--runtime": c.Runtime != "", "--capability": len(c.Capability) > 0, "--tool": len(c.Tool) > 0})
	only := c.given(map[string]bool{"--prefer": len(c.Prefer) > 0, "--untested": c.Untested})
	usage := func(format string, args ...any) (chosen, error) {
		return chosen{}, failure{exitUsage, fmt.Errorf(format, args...)}
	}
	switch {
	case c.Image != "" && c.Variant != "":
		return usage("--image and --variant can't be used together: each names the image to run")
	case c.Image != "" && needs != "":
		return usage("--image names the image to run; it can't be used together with %s, which choose one", needs)
	case c.Variant != "" && needs != "":
		return usage("--variant names the image to run; it can't be used together with %s, which choose one", needs)
	case c.Version != "" && c.Variant == "":
		return usage("--version is the version of a --variant")
	case only != "" && needs == "":
		return usage("%s goes with --task, --runtime, --capability or --tool, which choose an image", only)
	case c.Image != "" && c.Registry != "":
		return usage("--registry goes before the family's references; --image is a whole one")
	case c.Image != "":
		return chosen{reference: c.Image}, nil
	case needs == "":
		return c.named()
	}
	o, err := inCatalog{}.whole()
	if err != nil {
		return chosen{}, err
	}
	s, err := o.Select(catalog.Request{
		Task: c.Task, Runtime: c.Runtime, Capabilities: c.Capability, Tools: c.Tool, Prefer: c.Prefer, Untested: c.Untested, Registry: c.Registry,
	})
	if err != nil {
		return chosen{}, fmt.Errorf("cannot choose an image: %w", err)
	}
	return chosen{s.Reference, s.Digest, fmt.Sprintf("running %s: %s", s.Reference, s.Reason)}, nil
}

// named is the image of a short name.
func (c choice) named() (chosen, error) {
	variant := c.Variant
	if variant == "" {
		variant = "core"
	}
	o, err := catalog.Builtin()
	if err != nil {
		return chosen{}, err
	}
	reference, err := o.Resolve(c.Registry, catalog.Variant{Variant: variant, Version: c.Version})
	if err != nil {
		return chosen{}, fmt.Errorf("cannot choose an image: %w", err)
	}
	return chosen{reference: reference}, nil
}

// given are the names of those flags that were given.
func (c choice) given(flags map[string]bool) string {
	var out []string
	for _, name := range []string{"--task", "--runtime", "--capability", "--tool", "--prefer", "--untested"} {
		if flags[name] {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}
