package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
)

var manifestChecks = []Check{
	{ID: "MAN-001", Static: true, Run: manifestIsValid},
	{ID: "MAN-002", Run: manifestIsTrue},
	{ID: "MAN-003", Run: manifestIsWhole},
	{ID: "MAN-004", Static: true, Run: labelsAgree},
}

// manifest is the part of capabilities.json that the suite works with.
type manifest struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Tier         string   `json:"tier"`
	Description  string   `json:"description"`
	Capabilities []string `json:"capabilities"`
	Tools        []string `json:"tools"`
	ParentImage  *string  `json:"parent_image"`
	Contract     struct {
		Version string `json:"version"`
		Profile string `json:"profile"`
	} `json:"contract"`
	Versions map[string]string `json:"versions"` // of tools, as exact as they are promised
}

func manifestOf(im *image.Image) (*manifest, error) {
	f := im.Resolve(contract.Capabilities)
	if f == nil {
		return nil, errNoManifest
	}
	return parseManifest(f.Content)
}

var errNoManifest = Fail(contract.Capabilities+" does not exist", "COPY the image's capabilities.json there")

func parseManifest(content []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return nil, Failf("%s is no JSON of the contract's form: %v", contract.Capabilities, err)
	}
	return &m, nil
}

// readManifest reads an image's manifest out of a container that is not started: unlike
// Image, it costs nothing in a large image.
func readManifest(ctx context.Context, e *engine.Engine, ref string) (*manifest, error) {
	c, err := e.Create(ctx, engine.Spec{Image: ref})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Remove(context.WithoutCancel(ctx)) }()
	content, err := c.ReadFile(ctx, contract.Capabilities)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, errNoManifest
	}
	return parseManifest(content)
}

func manifestIsValid(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := manifestOf(im)
	if err != nil {
		return err
	}
	if err := validate(im.Resolve(contract.Capabilities).Content); err != nil {
		return Failf("%s breaks the contract's schema: %v", contract.Capabilities, err)
	}
	current := spec.Current()
	v, err := spec.ParseVersion(m.Contract.Version)
	if err != nil || v.Major() != current.Version.Major() || v.Compare(current.Version) > 0 {
		return Fail(fmt.Sprintf("the manifest names contract version %q; this suite proves %d.0 to %s", m.Contract.Version, current.Version.Major(), current.Version),
			"name the version that the image was proven with, or use a newer suite")
	}
	if _, err := current.For(m.Contract.Profile, current.Version); err != nil {
		return Failf("the manifest's contract.profile: %v", err)
	}
	old := im.Resolve("/etc/llmcore/capabilities.json")
	if old == nil || old.Path != im.Resolve(contract.Capabilities).Path && !bytes.Equal(old.Content, im.Resolve(contract.Capabilities).Content) {
		return Fail("/etc/llmcore/capabilities.json is missing or another one", "make it a link to "+contract.Capabilities)
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

func manifestIsTrue(ctx context.Context, e *Env) error {
	m, err := e.shared.manifest()
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
			return Failf("the manifest says a version of %s, which is not among its tools of the contract's vocabulary", tool)
		}
		versions["tool "+tool] = v
	}
	return e.runProbesFor(ctx, probes, versions, "install it, or take it out of the manifest")
}

func manifestIsWhole(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := manifestOf(im)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(e.Vocabulary().Tools)) {
		if where := onPath(im, name); where != "" && !slices.Contains(m.Tools, name) {
			missing = append(missing, fmt.Sprintf("%s (%s)", name, where))
		}
	}
	if len(missing) > 0 {
		return Fail("tools that are there and that the manifest does not name: "+firstOf(missing), "name them in image.yaml, or remove them")
	}
	return nil
}

// onPath finds a command in the directories of the image's PATH; "" when there is none.
func onPath(im *image.Image, name string) string {
	for _, v := range im.Config.Config.Env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(path, ":") {
			if f := im.Resolve(dir + "/" + name); f != nil && f.Mode&0o001 != 0 && !f.IsDir() {
				return dir + "/" + name
			}
		}
	}
	return ""
}

func labelsAgree(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	m, err := manifestOf(im)
	if err != nil {
		return err
	}
	parent := ""
	if m.ParentImage != nil {
		parent = *m.ParentImage
	}
	labels := im.Config.Config.Labels
	if labels["org.opencontainers.image.title"] == "" {
		return Failf("the label org.opencontainers.image.title is missing")
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
	if !slices.Equal(sorted(slices.Clone(named)), sorted(slices.Clone(m.Capabilities))) {
		wrong = append(wrong, fmt.Sprintf("dev.matrx.sandbox.capabilities is %q, the manifest says %q", named, m.Capabilities))
	}
	if len(wrong) > 0 {
		return Fail(firstOf(sorted(wrong)), "generate both from image.yaml")
	}
	return nil
}
