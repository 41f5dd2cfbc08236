// Package commands has the checks of the commands and Python modules that the contract names:
// CMD-001 to CMD-009 and PY.
package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract/spec"
)

// Checks are the checks of this family, by requirement. A command or a module has no function of
// its own: what to run is in the contract.
var Checks = slices.Concat(
	fromContract("CMD", func(r spec.Requirement) bool { return r.Command != nil }, commandIsThere),
	[]check.Check{{ID: "CMD-009", Run: toolsNeedNoLoginShell}},
	fromContract("PY", func(r spec.Requirement) bool { return r.Module != "" }, moduleIsThere),
)

func fromContract(family string, is func(spec.Requirement) bool, run func(context.Context, *check.Env, spec.Requirement) error) []check.Check {
	var out []check.Check
	for _, r := range spec.Current().Requirements {
		if r.Family() == family && is(r) {
			out = append(out, check.Check{ID: r.ID, Run: func(ctx context.Context, e *check.Env) error { return run(ctx, e, r) }})
		}
	}
	return out
}

func commandIsThere(ctx context.Context, e *check.Env, r spec.Requirement) error {
	s, err := e.Bare(ctx)
	if err != nil {
		return err
	}
	c := r.Command
	probe := spec.Probe{Run: append([]string{c.Name}, c.Args...), Expect: c.Match}
	code, out, err := s.Exec(ctx, "", probe.Run...)
	if err != nil {
		return err
	}
	if err := probe.Check(code, out); err != nil {
		return check.Fail(err.Error(), fmt.Sprintf("install %s %s or later in a system path", c.Name, c.Min))
	}
	found, err := spec.ParseVersion(probe.Version(out))
	if err != nil {
		return check.Failf("%q says nothing that is a version: %v", probe.Run, err)
	}
	e.Saw("%s %s", c.Name, found)
	if found.Compare(c.Min) < 0 {
		return check.Fail(fmt.Sprintf("%s is %s, older than %s", c.Name, found, c.Min), "install a newer one, and look for an older one earlier on PATH")
	}
	return nil
}

func moduleIsThere(ctx context.Context, e *check.Env, r spec.Requirement) error {
	s, err := e.Bare(ctx)
	if err != nil {
		return err
	}
	code, out, err := s.Exec(ctx, "", "python3", "-c", "import "+r.Module)
	if err != nil {
		return err
	}
	if code != 0 {
		return check.Fail(fmt.Sprintf("python3 cannot import %s: %s", r.Module, out), "install it for the python3 that is first on PATH")
	}
	return nil
}

// toolsNeedNoLoginShell runs every tool of the manifest with nothing but the image's own
// environment: no shell, no home, no profile.
func toolsNeedNoLoginShell(ctx context.Context, e *check.Env) error {
	m, err := e.Manifest(ctx)
	if err != nil {
		return check.Unsupported("there is no manifest to name tools: %v", err)
	}
	tools := map[string]spec.Probe{}
	for _, name := range m.Tools {
		if p, ok := e.Vocabulary().Tools[name]; ok {
			tools[name] = p
		}
	}
	return e.RunProbes(ctx, tools, nil, "put it on PATH by ENV, not by a profile or .bashrc")
}
