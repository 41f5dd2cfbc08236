package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
)

// family is a checkout of two small images, made for one test: root, with sandbox-init as
// its last layer as base has it, and leaf, which is FROM root.
type family struct {
	t          *testing.T
	dir        string
	root, leaf string
}

const (
	familyRoot = `ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
ARG TARGETARCH
LABEL dev.matrx.sandbox.name="ROOT" org.opencontainers.image.version="1.0.0"
COPY images/ROOT/files /opt/root/
COPY bin/linux-${TARGETARCH}/sandbox-init /usr/local/bin/sandbox-init
`
	familyLeaf = `ARG BASE_IMAGE=matrx-sandbox-ROOT:latest
FROM ${BASE_IMAGE}
LABEL dev.matrx.sandbox.name="LEAF" dev.matrx.sandbox.extends="matrx-sandbox-ROOT:latest"
COPY images/LEAF/files /opt/leaf/
`
	familyYAML = `name: NAME
version: 1.0.0
tier: variant
extends: "PARENT"
description: For a test.
contract: {version: 1.0.0, profile: lifecycle}
access: restricted
limits: {memory_mb: 512, cpu_cores: 1, timeout_seconds: 300, max_processes: 50}
`
)

func newFamily(t *testing.T) *family {
	t.Helper()
	harness.MakeFakeinit(t)
	f := &family{t: t, dir: t.TempDir(), root: fmt.Sprintf("tiny-%d-root", os.Getpid()), leaf: fmt.Sprintf("tiny-%d-leaf", os.Getpid())}
	f.write("images/debian.lock", "suite\n")
	f.write("Dockerfile.core", "FROM scratch\n")
	f.write("program", "first")
	f.write("Makefile", ".PHONY: bin/linux-amd64 bin/linux-arm64\nbin/linux-amd64 bin/linux-arm64:\n\t@mkdir -p $@ && cp program $@/sandbox-init\n")
	f.write("scripts/ensure-engine.sh", "#!/bin/sh\nexec docker version >/dev/null\n")
	// It runs between the reading of the inputs and the build: with a file meddle it
	// edits as a user might meanwhile.
	f.write("scripts/ensure-base.sh", "#!/bin/sh\nif [ -e meddle ]; then echo x >>\"$(cat meddle)\"; fi\necho "+harness.FakeinitImage+"\n")
	for _, script := range []string{"ensure-engine.sh", "ensure-base.sh"} {
		if err := os.Chmod(filepath.Join(f.dir, "scripts", script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.write("images/"+f.root+"/image.yaml", strings.NewReplacer("NAME", f.root, "PARENT", "").Replace(familyYAML))
	f.write("images/"+f.leaf+"/image.yaml", strings.NewReplacer("NAME", f.leaf, "PARENT", f.root).Replace(familyYAML))
	f.write("images/"+f.root+"/Dockerfile", f.text(familyRoot))
	f.write("images/"+f.leaf+"/Dockerfile", f.text(familyLeaf))
	f.write("images/"+f.root+"/files/a", "root")
	f.write("images/"+f.leaf+"/files/b", "leaf")
	t.Cleanup(func() {
		for _, name := range []string{f.leaf, f.root} {
			for _, ref := range strings.Fields(engineOutput("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "matrx-sandbox-"+name)) {
				engineOutput("image", "rm", ref)
			}
			// What a later build has taken the names of.
			for _, id := range strings.Fields(engineOutput("image", "ls", "--quiet", "--filter", "label=dev.matrx.sandbox.name="+name)) {
				engineOutput("image", "rm", "--force", id)
			}
		}
	})
	return f
}

// engineOutput is what docker says; a test that has ended has no context for more.
func engineOutput(args ...string) string {
	out, _ := exec.Command("docker", args...).Output()
	return string(out)
}

func (f *family) text(s string) string {
	return strings.NewReplacer("ROOT", f.root, "LEAF", f.leaf).Replace(s)
}

func (f *family) write(name, text string) {
	f.t.Helper()
	p := filepath.Join(f.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
		f.t.Fatal(err)
	}
}

// images runs `sandbox images`.
func (f *family) images(args ...string) harness.Result {
	f.t.Helper()
	program := testbed.Binary(f.t, "cmd/sandbox")
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(f.t.Context(), program, append([]string{"images"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return harness.Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errOut.String()}
}

// built is what `images build --json` says: "root leaf" for the images that were built, the
// unchanged ones left out.
func (f *family) built(args ...string) string {
	f.t.Helper()
	r := f.images(append([]string{"build", "--json"}, args...)...)
	if r.Code != 0 {
		f.t.Fatal(r)
	}
	var results []struct {
		Image          string
		Built, Rebased bool
	}
	if err := json.Unmarshal([]byte(r.Stdout), &results); err != nil {
		f.t.Fatal(err, r)
	}
	var out []string
	for _, i := range results {
		name := strings.TrimPrefix(i.Image, fmt.Sprintf("tiny-%d-", os.Getpid()))
		switch {
		case i.Rebased:
			out = append(out, name+" (rebased)")
		case i.Built:
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// id is that of the image that is called latest.
func (f *family) id(name string) string {
	return harness.EngineOK(f.t, "image", "inspect", "--format", "{{.Id}}", f.ref(name))
}

func (f *family) ref(name string) string { return "matrx-sandbox-" + name + ":latest" }

// file is the content of a file of an image.
func (f *family) file(ref, path string) string {
	f.t.Helper()
	id := harness.EngineOK(f.t, "create", ref)
	defer harness.EngineOK(f.t, "rm", id)
	to := filepath.Join(f.t.TempDir(), "file")
	harness.EngineOK(f.t, "cp", id+":"+path, to)
	data, err := os.ReadFile(to)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

func TestImagesAreBuiltWhenTheirInputsChange(t *testing.T) {
	f := newFamily(t)
	if got := f.built(f.leaf); got != "root leaf" {
		t.Errorf("at first %q are built", got)
	}
	if got := f.built("--all"); got != "" {
		t.Errorf("unchanged, %q are built", got)
	}
	first := f.id(f.leaf)
	f.write("images/"+f.leaf+"/files/b", "other")
	if got := f.built("--all"); got != "leaf" || f.file(f.ref(f.leaf), "/opt/leaf/b") != "other" {
		t.Errorf("after a change in leaf %q are built", got)
	}
	// Back again, it is the image of before, without a build.
	f.write("images/"+f.leaf+"/files/b", "leaf")
	if got := f.built("--all"); got != "" || f.id(f.leaf) != first {
		t.Errorf("with the change taken back, %q are built", got)
	}
	if got := f.built(f.leaf, "--no-cache"); got != "leaf" {
		t.Errorf("with --no-cache %q are built", got)
	}
	f.write("program", "second")
	if got := f.built(f.leaf, "--tag", "3.0"); got != "root leaf" || f.file("matrx-sandbox-"+f.leaf+":3.0", "/usr/local/bin/sandbox-init") != "second" {
		t.Errorf("after a change in sandbox-init %q are built", got)
	}
	if _, err := os.Stat(filepath.Join(f.dir, ".cache", "build-"+f.leaf+".log")); err != nil {
		t.Errorf("the log was not kept: %v", err)
	}
}

func TestABuildThatFailsSaysWhatAndWhere(t *testing.T) {
	f := newFamily(t)
	f.write("images/"+f.root+"/Dockerfile", f.text(familyRoot)+"RUN [\"/nothing\"]\n")
	r := f.images("build", "--all")
	if r.Code != 125 || !strings.Contains(r.Stderr, "cannot build "+f.root) || !strings.Contains(r.Stderr, ".cache/build-"+f.root+".log") ||
		!strings.Contains(r.Stderr, f.leaf+": not built, because what it is made of was not: "+f.root) {
		t.Errorf("%v", r)
	}
	if out := engineOutput("image", "ls", "--quiet", "matrx-sandbox-"+f.root); out != "" {
		t.Errorf("it left %q", out)
	}

	// An edit during the build makes no image under a tag of other inputs.
	f.write("images/"+f.root+"/Dockerfile", f.text(familyRoot))
	f.write("meddle", "images/"+f.root+"/files/a")
	if r := f.images("build", f.root); r.Code != 125 || !strings.Contains(r.Stderr, "changed meanwhile: build it again") {
		t.Errorf("%v", r)
	}
	if out := engineOutput("image", "ls", "--format", "{{.Tag}}", "matrx-sandbox-"+f.root); strings.TrimSpace(out) != "" {
		t.Errorf("it left %q", out)
	}

	other := "linux/riscv64"
	if r := f.images("build", f.root, "--platform", other); r.Code != 125 || !strings.Contains(r.Stderr, "never built by emulation") {
		t.Errorf("%v", r)
	}
	if r := f.images("build", f.root, "--with", "WITH_X"); r.Code != 125 || !strings.Contains(r.Stderr, "has an option WITH_X") {
		t.Errorf("%v", r)
	}
}

// A fix in sandbox-init reaches an image without building it, and a build then finds the
// image to be what it would make.
func TestRebaseCarriesANewInitToAnImage(t *testing.T) {
	f := newFamily(t)
	f.built("--all")
	before := harness.Inspect(t, f.ref(f.leaf))
	if r := f.images("rebase", f.leaf, "--onto", f.root); r.Code != 0 || !strings.Contains(r.Stderr, "on that parent already") {
		t.Errorf("%v", r)
	}
	f.write("program", "mended")
	if got := f.built(f.root); got != "root" {
		t.Fatalf("%q are built", got)
	}
	if r := f.images("rebase", f.leaf, "--onto", f.root); r.Code != 0 || !strings.Contains(r.Stderr, "inputs-") {
		t.Fatalf("%v", r)
	}
	if got := f.file(f.ref(f.leaf), "/usr/local/bin/sandbox-init"); got != "mended" {
		t.Errorf("its sandbox-init is %q", got)
	}
	if got := f.file(f.ref(f.leaf), "/opt/leaf/b"); got != "leaf" {
		t.Errorf("its own file is %q", got)
	}
	after := harness.Inspect(t, f.ref(f.leaf))
	if fmt.Sprint(after.Config) != fmt.Sprint(before.Config) {
		t.Errorf("its configuration was %+v and is %+v", before.Config, after.Config)
	}
	if got := f.built("--all"); got != "" {
		t.Errorf("then %q are built", got)
	}

	// A build does it where it is asked to, and builds what has changed itself.
	f.write("program", "mended again")
	if got := f.built("--all", "--rebase"); got != "root leaf (rebased)" || f.file(f.ref(f.leaf), "/usr/local/bin/sandbox-init") != "mended again" {
		t.Errorf("with --rebase %q are built", got)
	}
	f.write("program", "and again")
	f.write("images/"+f.leaf+"/files/b", "other")
	if got := f.built("--all", "--rebase"); got != "root leaf" || f.file(f.ref(f.leaf), "/opt/leaf/b") != "other" {
		t.Errorf("with --rebase and a change %q are built", got)
	}

	// However often the parent was built meanwhile.
	for i := range 5 {
		f.write("program", fmt.Sprint("mended by ", i))
		f.built(f.root)
	}
	if got := f.built("--all", "--rebase"); got != "leaf (rebased)" {
		t.Errorf("after many builds of its parent, with --rebase %q are built", got)
	}

	// A parent's file that the image hides is a reason to build.
	f.write("images/"+f.leaf+"/Dockerfile", f.text(familyLeaf)+"COPY images/"+f.leaf+"/files/b /opt/root/a\n")
	f.built("--all")
	f.write("images/"+f.root+"/files/a", "other")
	f.built(f.root)
	if r := f.images("rebase", f.leaf, "--onto", f.root); r.Code != 1 || !strings.Contains(r.Stderr, "/opt/root/a differs between the parents, and the image has it") {
		t.Errorf("%v", r)
	}
	if got := f.built("--all", "--rebase"); got != "leaf" {
		t.Errorf("with --rebase, where that is refused, %q are built", got)
	}
	if r := f.images("rebase", f.root, "--onto", f.leaf); r.Code != 125 || !strings.Contains(r.Stderr, "extends no image") {
		t.Errorf("%v", r)
	}
}

func TestImagesGoToARegistryAndBack(t *testing.T) {
	f := newFamily(t)
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	place := strings.TrimPrefix(server.URL, "http://") + "/team"

	if r := f.images("push", f.leaf, "--registry", place); r.Code != 125 || !strings.Contains(r.Stderr, f.leaf+" is not built from this checkout") {
		t.Errorf("%v", r)
	}
	if r := f.images("build", "--all", "--push", place); r.Code != 0 {
		t.Fatal(r)
	}
	before := f.id(f.leaf)
	if r := f.images("push", "--all", "--registry", place); r.Code != 0 {
		t.Fatal(r)
	}
	if r := f.images("verify", "--all", "--registry", place, "--version", "1.0.0"); r.Code != 0 || !strings.Contains(r.Stderr, "is whole, and holds what its list says") {
		t.Fatal(r)
	}
	for _, ref := range strings.Fields(engineOutput("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "matrx-sandbox-"+f.leaf)) {
		harness.EngineOK(t, "image", "rm", ref)
	}
	if r := f.images("pull", f.leaf, "--registry", place); r.Code != 0 {
		t.Fatal(r)
	}
	if got := f.id(f.leaf); got != before {
		t.Errorf("it went as %s and came back as %s", before, got)
	}
	if got := f.built("--all"); got != "" {
		t.Errorf("after the pull %q are built", got)
	}
	if r := f.images("verify", f.leaf, "--registry", place, "--version", "9.9.9"); r.Code != 1 || !strings.Contains(r.Stderr, "published there") {
		t.Errorf("%v", r)
	}
}
