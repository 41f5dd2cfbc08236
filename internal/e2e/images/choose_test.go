package images

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract/verdict"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// TestRunChoosesTheImageOfItsTask: the image that was asked for is chosen and named; a request that contradicts itself, or no
// image has, is not run.
func TestRunChoosesTheImageOfItsTask(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	o := harness.NewOperator(t)
	for _, tc := range []struct {
		flags []string
		image string
		why   bool
	}{
		{[]string{"--runtime", "bash"}, catalog.Reference("", "base", "1.1.0"), true},
		{[]string{"--tool", "aws", "--capability", "browser"}, catalog.Reference("", "core", "1.1.0"), true},
		{[]string{"--task", "shell_scripting_that_there_is_not"}, "", false},
		{[]string{"--variant", "base", "--version", "1.1.0"}, catalog.Reference("", "base", "1.1.0"), false},
		{nil, catalog.Reference("", "core", ""), false},
	} {
		r := o.Do(nil, append(append([]string{"run", "--user-id", "u", "--json"}, tc.flags...), "--", "true")...)
		if tc.image == "" {
			if r.Code != 125 || !strings.Contains(r.Stderr, "cannot choose an image: ") || !strings.Contains(r.Stderr, "nearest") {
				t.Errorf("%v: %v", tc.flags, r)
			}
			continue
		}
		if r.Code != 0 || !strings.Contains(r.Stderr, `"image":"`+tc.image+`"`) || strings.Contains(r.Stderr, `"message":"running `+tc.image+": ") != tc.why {
			t.Errorf("%v: %v, want %s", tc.flags, r, tc.image)
		}
	}
	for want, flags := range map[string][]string{
		"--image and --variant can't be used together":   {"--image", "a", "--variant", "core"},
		"together with --task, --tool, which choose one": {"--image", "a", "--task", "research", "--tool", "jq"},
		"--variant names the image":                      {"--variant", "core", "--runtime", "python"},
		"--version is the version of a --variant":        {"--version", "1.0.0"},
		"--prefer goes with --task":                      {"--prefer", "core"},
		"--registry goes before the family's":            {"--image", "a", "--registry", "b"},
	} {
		if r := o.Do(nil, append([]string{"run"}, flags...)...); r.Code != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v: %v, want %q", flags, r, want)
		}
	}
	if r := o.Do(nil, "run", "--variant", "bsae"); r.Code != 125 || !strings.Contains(r.Stderr, "base") {
		t.Errorf("a variant that there is not: %v", r)
	}
}

// greeterDockerfile is an image of a user's own, on ours, with all that the suite wants.
var greeterDockerfile = template.Must(template.New("").Parse(`ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER root
COPY --chmod=755 greet /usr/local/bin/greet
COPY capabilities.json /etc/sandbox/capabilities.json
LABEL org.opencontainers.image.title="greeter" org.opencontainers.image.version="{{.Version}}" org.opencontainers.image.description="{{.Description}}" \
  description="{{.Description}}" variant="{{.Name}}" dev.matrx.sandbox.name="{{.Name}}" dev.matrx.sandbox.tier="{{.Tier}}" \
  dev.matrx.sandbox.extends="{{.ParentImage}}" dev.matrx.sandbox.contract="{{.Contract.Version}}" dev.matrx.sandbox.capabilities="{{range $i, $c := .Capabilities}}{{if $i}},{{end}}{{$c}}{{end}}"
USER agent
`))

// greeter builds it; what it says is greeting.
func greeter(t *testing.T, ref, greeting string) {
	t.Helper()
	c, err := catalog.Load(os.DirFS(harness.Repository))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest("base")
	if err != nil {
		t.Fatal(err)
	}
	parent := catalog.Reference("", "base", "")
	m.Name, m.Version, m.Tier, m.Description, m.ParentImage = "greeter", "0.3.0", "variant", "Base that greets.", &parent
	m.Tools = append(m.Tools, "greet")
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var dockerfile bytes.Buffer
	if err := greeterDockerfile.Execute(&dockerfile, m); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"Dockerfile": dockerfile.Bytes(), "capabilities.json": manifest, "greet": []byte("#!/bin/sh\necho " + greeting + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r := harness.Engine(t, nil, "buildx", "build", "--load", "--progress", "plain", "--network", "none", "--build-arg", "BASE_IMAGE="+parent, "--tag", ref, dir); r.Code != 0 {
		t.Fatalf("the build failed: %v", r)
	}
	// By its ID: the name is another's after the next build.
	id := strings.TrimSpace(harness.EngineOK(t, "image", "inspect", "--format", "{{.Id}}", ref))
	t.Cleanup(func() { harness.Afterwards(t, "image", "rm", "--force", id) })
}

// chain takes an image of a user's own from the registration to a sandbox. judge has it judged.
func chain(t *testing.T, ref string, judge func(o *harness.Operator, digest string)) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Cleanup(func() { harness.Afterwards(t, "image", "rm", "--force", ref) })
	o := harness.NewOperator(t)
	greeter(t, ref, "hello")
	if r := o.Do(nil, "images", "register", ref, "--task", "greetings=http_client", "--runtime", "bash"); r.Code != 0 || strings.Contains(r.Stderr, "label") {
		t.Fatalf("register: %v", r)
	}
	if r := o.Do(nil, "run", "--user-id", "u", "--task", "greetings", "--tool", "greet", "--", "greet"); r.Code != 125 || !strings.Contains(r.Stderr, "was never judged by the suite") {
		t.Errorf("before it was judged: %v", r)
	}
	if r := o.Do(nil, "run", "--user-id", "u", "--task", "greetings", "--untested", "--", "greet"); r.Code != 0 || r.Stdout != "hello\n" {
		t.Errorf("untested, as asked for: %v", r)
	}
	judge(o, harness.EngineOK(t, "image", "inspect", "--format", "{{.Id}}", ref))
	if got := o.OK("select", "-q", "--task", "greetings"); got != ref {
		t.Errorf("selected is %s", got)
	}
	if r := o.Do(nil, "run", "--user-id", "u", "--task", "greetings", "--", "greet"); r.Code != 0 || r.Stdout != "hello\n" || !strings.Contains(r.Stderr, "running "+ref+": ") {
		t.Errorf("run for its task: %v", r)
	}
	// Its name is given to another, of which nothing is known.
	greeter(t, ref, "other")
	if r := o.Do(nil, "run", "--user-id", "u", "--task", "greetings", "--", "greet"); r.Code != 125 || !strings.Contains(r.Stderr, "it is not the image that was registered") {
		t.Errorf("another of its name: %v", r)
	}
}

// TestRunOfARegisteredImageChecksItsID has the verdict from a record; with the suite itself it is
// TestSelectChainWithTheSuite (make long).
func TestRunOfARegisteredImageChecksItsID(t *testing.T) {
	ref := harness.Ref("greeter")
	chain(t, ref, func(o *harness.Operator, digest string) {
		dir, err := verdict.Dir()
		if err == nil {
			err = verdict.Save(dir, verdict.Record{Digest: digest, Image: ref, Verdict: "conformant", Contract: "1.1.0", Profile: "lifecycle"})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
