package catalog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/matrx/sandbox/contract"
)

const good = `
name: NAME
version: 1.2.3
tier: variant
extends: PARENT
description: For tests.
contract: {version: 1.0.0, profile: lifecycle}
access: restricted
limits: {memory_mb: 512, cpu_cores: 0.5, timeout_seconds: 300, max_processes: 50}
`

// family makes images/NAME/image.yaml for each NAME:PARENT, with what is appended to it.
func family(images map[string]string, more map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, parent := range images {
		text := strings.NewReplacer("NAME", name, "PARENT", parent).Replace(good) + more[name]
		out["images/"+name+"/image.yaml"] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestLoadReportsEverythingTogether(t *testing.T) {
	root := family(map[string]string{"a": "", "b": "nowhere", "c": "d", "d": "c"}, map[string]string{
		"a": "tools: [bash, sorcery]\noptions: [{arg: cuda, description: x, capabilities: [magic]}]\n",
	})
	root["images/e/image.yaml"] = &fstest.MapFile{Data: []byte("name: f\nversion: 1\ntier: top\naccess: open\ncontract: {version: 9.0.0, profile: kernel}\nlimits: {disk_mb: 31}\n")}
	_, err := Load(root)
	if err == nil {
		t.Fatal("a broken family loads")
	}
	for _, want := range []string{
		`images/a/image.yaml: tools: "sorcery" is not in contract/capabilities.yaml`,
		`images/a/image.yaml: capabilities: "magic" is not in`,
		`images/a/image.yaml: options: arg "cuda" must be an upper-case`,
		`images/b/image.yaml: extends: there is no image "nowhere"`,
		`images/c/image.yaml: extends: "c" extends itself`,
		`images/e/image.yaml: name: "f" must be the folder's name, "e"`,
		`images/e/image.yaml: version: "1" must be MAJOR.MINOR.PATCH`,
		`images/e/image.yaml: tier: "top" must be one of`,
		`images/e/image.yaml: access: "open" must be`,
		`images/e/image.yaml: limits.memory_mb: 0 must be 64 or more`,
		`images/e/image.yaml: limits.cpu_cores: 0 must be more than 0`,
		`images/e/image.yaml: limits.disk_mb: 31 must be 32 or more`,
		`contract.version: 9.0.0 is newer than the contract itself`,
		`contract.profile: the contract has no profile "kernel"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestLoadOfNothing(t *testing.T) {
	if _, err := Load(fstest.MapFS{}); err == nil {
		t.Error("an empty folder is a catalog")
	}
}

func TestUnknownFieldsOfImageYAMLAreMistakes(t *testing.T) {
	if _, err := ParseImage([]byte(good + "capabilites: [shell]\n")); err == nil || !strings.Contains(err.Error(), "capabilites") {
		t.Errorf("a misspelt field gives %v", err)
	}
}

func TestGraph(t *testing.T) {
	c, err := Load(family(map[string]string{"base": "", "core": "base", "ml": "core", "media": "core", "shell": "base"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"base"}, {"core", "shell"}, {"media", "ml"}}, c.Levels()); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	want := "base\n|-- core\n|   |-- media\n|   `-- ml\n`-- shell\n"
	if diff := cmp.Diff(want, c.Tree()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if m := c.Mermaid(); !strings.Contains(m, "core --> ml\n") {
		t.Errorf("Mermaid has no arrow from core to ml:\n%s", m)
	}
}

func TestManifestInheritsAndKeepsTheSchema(t *testing.T) {
	c, err := Load(family(map[string]string{"base": "", "core": "base"}, map[string]string{
		"base": "tools: [bash, curl]\ncapabilities: [shell]\nenvironment: {A: base, B: base}\n",
		"core": "tools: [git, bash]\ncapabilities: [git]\nenvironment: {B: core}\noptions: [{arg: WITH_JQ, description: x, tools: [jq]}]\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest("core", "WITH_JQ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bash", "curl", "git", "jq"}, m.Tools); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"A": "base", "B": "core"}, m.Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if *m.ParentImage != "matrx-sandbox-base:latest" {
		t.Errorf("parent %q", *m.ParentImage)
	}
	if without, _ := c.Manifest("core"); cmp.Equal(without.Tools, m.Tools) {
		t.Error("the option's tool is there without the option")
	}
	if _, err := c.Manifest("core", "WITH_X"); err == nil {
		t.Error("an unknown option is accepted")
	}
	for _, name := range c.Names() {
		m, err := c.Manifest(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, text); err != nil {
			t.Errorf("the manifest of %s breaks the schema: %v", name, err)
		}
	}
	if validate(t, []byte(`{"name":"x"}`)) == nil {
		t.Error("the schema accepts anything")
	}
}

func validate(t *testing.T, text []byte) error {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(contract.ManifestSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("manifest", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("manifest")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(document)
}

func TestManifestKeepsWhatItDoesNotKnow(t *testing.T) {
	in := `{"name":"x","gpu":{"count":2},"aaa":[1]}`
	var m Manifest
	if err := json.Unmarshal([]byte(in), &m); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	var again Manifest
	if err := json.Unmarshal(out, &again); err != nil {
		t.Fatal(err)
	}
	if string(again.Extra["gpu"]) != `{"count":2}` || string(again.Extra["aaa"]) != `[1]` || len(again.Extra) != 2 {
		t.Errorf("unknown fields became %s", out)
	}
}

func TestReference(t *testing.T) {
	for _, tc := range [][4]string{
		{"", "core", "", "matrx-sandbox:latest"},
		{"", "ml", "1.2.0", "matrx-sandbox-ml:1.2.0"},
		{"registry.example.com/team/", "media", "", "registry.example.com/team/matrx-sandbox-media:latest"},
	} {
		if got := Reference(tc[0], tc[1], tc[2]); got != tc[3] {
			t.Errorf("Reference(%q, %q, %q) = %q, want %q", tc[0], tc[1], tc[2], got, tc[3])
		}
	}
}

func FuzzParseImage(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("name: [\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if im, err := ParseImage(data); err == nil && im.Name == "" {
			t.Error("an image without a name is accepted")
		}
	})
}
