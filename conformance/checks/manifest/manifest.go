// Package manifest has the checks of capabilities.json and of the labels that repeat it: MAN.
package manifest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "MAN-001", Static: true, Run: manifestIsValid},
	{ID: "MAN-002", Run: manifestIsTrue},
	{ID: "MAN-003", Run: manifestIsWhole},
	{ID: "MAN-004", Static: true, Run: labelsAgree},
}

func manifestIsValid(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := check.ManifestOf(im)
	if err != nil {
		return err
	}
	if err := validate(im.Resolve(contract.Capabilities).Content); err != nil {
		return check.Failf("%s breaks the contract's schema: %v", contract.Capabilities, err)
	}
	current := spec.Current()
	v, err := spec.ParseVersion(m.Contract.Version)
	if err != nil || v.Major() != current.Version.Major() || v.Compare(current.Version) > 0 {
		return check.Fail(fmt.Sprintf("the manifest names contract version %q; this suite proves %d.0 to %s", m.Contract.Version, current.Version.Major(), current.Version),
			"name the version that the image was proven with, or use a newer suite")
	}
	if _, err := current.For(m.Contract.Profile, current.Version); err != nil {
		return check.Failf("the manifest's contract.profile: %v", err)
	}
	old := im.Resolve("/etc/llmcore/capabilities.json")
	if old == nil || old.Path != im.Resolve(contract.Capabilities).Path && !bytes.Equal(old.Content, im.Resolve(contract.Capabilities).Content) {
		return check.Fail("/etc/llmcore/capabilities.json is missing or another one", "make it a link to "+contract.Capabilities)
	}
	return nil
}

func validate(document []byte) error {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(contract.ManifestSchema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("manifest.schema.json", schema); err != nil {
		return err
	}
	compiled, err := c.Compile("manifest.schema.json")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

func manifestIsTrue(ctx context.Context, e *check.Env) error {
	m, err := e.Manifest(ctx)
	if err != nil {
		return err
	}
	probes := map[string]spec.Probe{}
	for _, name := range m.Tools {
		if p, ok := e.Vocabulary().Tools[name]; ok {
			probes["tool "+name] = p
		} else {
			e.Saw("tool %s is not in the contract's vocabulary: nothing can be said of it", name)
		}
	}
	for _, name := range m.Capabilities {
		if p, ok := e.Vocabulary().Capabilities[name]; ok {
			probes["capability "+name] = p
		} else {
			e.Saw("capability %s is not in the contract's vocabulary: nothing can be said of it", name)
		}
	}
	versions := map[string]string{}
	for tool, v := range m.Versions {
		if _, ok := probes["tool "+tool]; !ok {
			return check.Failf("the manifest says a version of %s, which is not among its tools of the contract's vocabulary", tool)
		}
		versions["tool "+tool] = v
	}
	return e.RunProbes(ctx, probes, versions, "install it, or take it out of the manifest")
}

func manifestIsWhole(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := check.ManifestOf(im)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(e.Vocabulary().Tools)) {
		if where := im.OnPath(name); where != "" && !slices.Contains(m.Tools, name) {
			missing = append(missing, fmt.Sprintf("%s (%s)", name, where))
		}
	}
	if len(missing) > 0 {
		return check.Fail("tools that are there and that the manifest does not name: "+check.Sample(missing), "name them in image.yaml, or remove them")
	}
	return nil
}

func labelsAgree(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := check.ManifestOf(im)
	if err != nil {
		return err
	}
	parent := ""
	if m.ParentImage != nil {
		parent = *m.ParentImage
	}
	labels := im.Config.Config.Labels
	if labels["org.opencontainers.image.title"] == "" {
		return check.Failf("the label org.opencontainers.image.title is missing")
	}
	var wrong []string
	for name, want := range map[string]string{
		"org.opencontainers.image.version": m.Version, "org.opencontainers.image.description": m.Description,
		"variant": m.Name, "description": m.Description,
		"dev.matrx.sandbox.name": m.Name, "dev.matrx.sandbox.tier": m.Tier, "dev.matrx.sandbox.extends": parent,
		"dev.matrx.sandbox.contract": m.Contract.Version,
	} {
		if got, ok := labels[name]; !ok || got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q, the manifest says %q", name, got, want))
		}
	}
	named := strings.FieldsFunc(labels["dev.matrx.sandbox.capabilities"], func(r rune) bool { return r == ',' })
	if !slices.Equal(slices.Sorted(slices.Values(named)), slices.Sorted(slices.Values(m.Capabilities))) {
		wrong = append(wrong, fmt.Sprintf("dev.matrx.sandbox.capabilities is %q, the manifest says %q", named, m.Capabilities))
	}
	if len(wrong) > 0 {
		return check.Fail(check.Sample(wrong), "generate both from image.yaml")
	}
	return nil
}
