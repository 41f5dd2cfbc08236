package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract/spec"
)

// commandChecks and pythonChecks are the same check for each requirement that names a
// command or a module: what to run is in the contract.
var commandChecks = append(fromContract("CMD", func(r spec.Requirement) bool { return r.Command != nil }, commandIsThere),
	Check{ID: "CMD-009", Run: toolsNeedNoLoginShell})

var pythonChecks = fromContract("PY", func(r spec.Requirement) bool { return r.Module != "" }, moduleIsThere)

func fromContract(family string, is func(spec.Requirement) bool, run func(context.Context, *Env, spec.Requirement) error) []Check {
	var out []Check
	for _, r := range spec.Current().Requirements {
		if r.Family() == family && is(r) {
			out = append(out, Check{ID: r.ID, Run: func(ctx context.Context, e *Env) error { return run(ctx, e, r) }})
		}
	}
	return out
}

// bare starts the image with the probe in the place of its entrypoint, as the agent: what
// is in the image is judged without its lifecycle.
func (e *Env) bare(ctx context.Context) (*Sandbox, error) {
	return e.Start(ctx, Start{Mode: AsAgent, Entrypoint: []string{Probe}, Cmd: []string{"idle"}})
}

func commandIsThere(ctx context.Context, e *Env, r spec.Requirement) error {
	s, err := e.bare(ctx)
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
		return Fail(err.Error(), fmt.Sprintf("install %s %s or later in a system path", c.Name, c.Min))
	}
	found, err := spec.ParseVersion(probe.Version(out))
	if err != nil {
		return Failf("%q says nothing that is a version: %v", probe.Run, err)
	}
	e.Saw("%s %s", c.Name, found)
	if found.Compare(c.Min) < 0 {
		return Fail(fmt.Sprintf("%s is %s, older than %s", c.Name, found, c.Min), "install a newer one, and look for an older one earlier on PATH")
	}
	return nil
}

func moduleIsThere(ctx context.Context, e *Env, r spec.Requirement) error {
	s, err := e.bare(ctx)
	if err != nil {
		return err
	}
	code, out, err := s.Exec(ctx, "", "python3", "-c", "import "+r.Module)
	if err != nil {
		return err
	}
	if code != 0 {
		return Fail(fmt.Sprintf("python3 cannot import %s: %s", r.Module, out), "install it for the python3 that is first on PATH")
	}
	return nil
}

// toolsNeedNoLoginShell runs every tool of the manifest with nothing but the image's own
// environment: no shell, no home, no profile.
func toolsNeedNoLoginShell(ctx context.Context, e *Env) error {
	m, err := e.shared.manifest()
	if err != nil {
		return Unsupported("there is no manifest to name tools: %v", err)
	}
	tools := map[string]spec.Probe{}
	for _, name := range m.Tools {
		if p, ok := e.Vocabulary().Tools[name]; ok {
			tools[name] = p
		}
	}
	return e.runProbes(ctx, tools, "put it on PATH by ENV, not by a profile or .bashrc")
}

// runProbes runs probes in one container and fails with all that did not pass.
func (e *Env) runProbes(ctx context.Context, probes map[string]spec.Probe, remedy string) error {
	return e.runProbesFor(ctx, probes, nil, remedy)
}

// runProbesFor holds what the probes say against promised versions, too.
func (e *Env) runProbesFor(ctx context.Context, probes map[string]spec.Probe, versions map[string]string, remedy string) error {
	s, err := e.bare(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		code, out, err := s.Exec(ctx, "", probes[name].Run...)
		if err != nil {
			return err
		}
		if err := probes[name].Check(code, out); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		v := probes[name].Version(out)
		if v != "" {
			e.Saw("%s %s", name, v)
		}
		if promised, ok := versions[name]; ok && !isVersion(v, promised) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, and %s was promised", name, v, promised))
		}
	}
	if len(wrong) > 0 {
		return Fail(firstOf(wrong), remedy)
	}
	return nil
}

// isVersion says whether a version is one that a promise stands for: 3.13 is every 3.13.x.
func isVersion(version, promised string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(version, "v"), promised)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}
