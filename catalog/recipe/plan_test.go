package recipe

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/matrx/sandbox/catalog"
)

const plain = "ARG BASE_IMAGE=PARENT\nFROM ${BASE_IMAGE}\nCOPY images/NAME/packages.apt /x\nUSER agent\n"

// tree is a repository with base, core and two images above.
func tree() fstest.MapFS {
	root := fstest.MapFS{
		Lock:                         {Data: []byte("lock")},
		"images/base/files/profile":  {Data: []byte("x")},
		"images/core/packages.apt":   {Data: []byte("git")},
		".dockerignore":              {Data: []byte("*\n!images\n**/__pycache__\n")},
		"Dockerfile.core":            {Data: []byte("ARG BASE_IMAGE=debian:trixie-slim\nFROM ${BASE_IMAGE} AS foundation\nCOPY images/debian.lock images/base/files /x/\nFROM foundation AS base\nARG TARGETARCH\nCOPY bin/linux-${TARGETARCH}/sandbox-init /i\nFROM foundation AS core\nARG TARGETARCH\nCOPY images/core/packages.apt /x\nCOPY bin/linux-${TARGETARCH}/sandbox-init /i\n")},
		"images/full/packages.apt":   {Data: []byte("x")},
		"images/ml/packages.apt":     {Data: []byte("x")},
		"images/full/Dockerfile":     {Data: []byte("ARG BASE_IMAGE=matrx-sandbox:latest\nARG ML=matrx-sandbox-ml:latest\nFROM ${ML} AS ml\nFROM ${BASE_IMAGE}\nCOPY --from=ml /opt /opt\nUSER agent\n")},
		"images/ml/Dockerfile":       {Data: []byte(strings.NewReplacer("PARENT", "matrx-sandbox:latest", "NAME", "ml").Replace(plain))},
		"images/ml/__pycache__/x.py": {Data: []byte("x")},
	}
	for name, extends := range map[string]string{"base": "", "core": "base", "ml": "core", "full": "core"} {
		root["images/"+name+"/image.yaml"] = &fstest.MapFile{Data: []byte("name: " + name + `
version: 1.0.0
tier: variant
extends: "` + extends + `"
description: For tests.
contract: {version: 1.0.0, profile: lifecycle}
access: restricted
limits: {memory_mb: 512, cpu_cores: 1, timeout_seconds: 300, max_processes: 50}
`)}
	}
	return root
}

// with is tree with another text in one file.
func with(path, text string) fstest.MapFS {
	out := tree()
	out[path] = &fstest.MapFile{Data: []byte(text)}
	return out
}

func TestRecipes(t *testing.T) {
	b := loadModel(t, tree())
	core, full := b.Recipe("core"), b.Recipe("full")
	if diff := cmp.Diff([]string{"images/base/files", "images/core/packages.apt", "images/debian.lock"}, core.Files); diff != "" || !core.Program {
		t.Errorf("core is made of (-want +got):\n%s and sandbox-init %v", diff, core.Program)
	}
	if diff := cmp.Diff([]string{"debian:trixie-slim"}, core.Others); diff != "" {
		t.Errorf("core begins with (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"core", "ml"}, full.Parents); diff != "" || full.Program {
		t.Errorf("full is made of (-want +got):\n%s and sandbox-init %v", diff, full.Program)
	}
	if diff := cmp.Diff(map[string]string{"BASE_IMAGE": "core", "ML": "ml"}, full.Args); diff != "" {
		t.Errorf("the arguments of full (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"base", "core", "ml", "full"}, b.Closure([]string{"full"})); diff != "" {
		t.Errorf("closure (-want +got):\n%s", diff)
	}
}

func TestPlanSaysWhy(t *testing.T) {
	everything := []string{"0 base", "1 core", "2 ml", "3 full"}
	for _, tc := range []struct {
		name    string
		before  fstest.MapFS
		changed []string
		program []string
		want    []string // LEVEL IMAGE
		cause   Cause    // of the first
	}{
		{name: "nothing"},
		{name: "a text", changed: []string{"README.md", "images/ml/image.yaml"}},
		{name: "a list", changed: []string{"images/ml/packages.apt"}, want: []string{"0 ml", "1 full"}, cause: Cause{List, "images/ml/packages.apt"}},
		{name: "the lock", changed: []string{Lock}, want: everything, cause: Cause{List, Lock}},
		{name: "a file", changed: []string{"images/base/files/deep/new"}, want: everything, cause: Cause{Content, "images/base/files/deep/new"}},
		{name: "what the builder does not see", changed: []string{"images/base/files/__pycache__/x.pyc"}},
		{name: "what it sees", changed: []string{".dockerignore"}, want: everything, cause: Cause{Content, ".dockerignore"}},
		{name: "Go", program: []string{"cmd/sandbox-init/main.go"}, want: everything, cause: Cause{Program, "cmd/sandbox-init/main.go"}},
		{name: "a stage of core alone", before: with("Dockerfile.core", strings.Replace(string(tree()["Dockerfile.core"].Data), "AS core\n", "AS core\nRUN true\n", 1)), want: []string{"0 core", "1 ml", "2 full"}, cause: Cause{File, "Dockerfile.core"}},
		{name: "a new image", before: func() fstest.MapFS {
			r := tree()
			delete(r, "images/full/Dockerfile")
			delete(r, "images/full/image.yaml")
			return r
		}(), want: []string{"0 full"}, cause: Cause{New, "images/full/Dockerfile"}},
		{name: "a Dockerfile that could not be read", before: with("images/full/Dockerfile", "FRON x"), want: []string{"0 full"}, cause: Cause{File, "images/full/Dockerfile"}},
	} {
		before := tc.before
		if before == nil {
			before = tree()
		}
		plan, err := loadModel(t, tree()).Plan(Change{Before: before, Paths: tc.changed, Program: tc.program})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range plan {
			got = append(got, string(rune('0'+r.Level))+" "+r.Image)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", tc.name, diff)
		} else if len(plan) > 0 && !slices.Contains(plan[0].Causes, tc.cause) {
			t.Errorf("%s: because of %v, want %v", tc.name, plan[0].Causes, tc.cause)
		}
	}
}

func TestDigestsCarryEveryInput(t *testing.T) {
	digest := func(root fstest.MapFS, arch string, in Inputs) string {
		c, err := catalog.Load(root)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Load(root, c, arch)
		if err != nil {
			t.Fatal(err)
		}
		out, err := b.Digests([]string{"full"}, func(string) (Inputs, error) { return in, nil })
		if err != nil {
			t.Fatal(err)
		}
		return out["full"]
	}
	in := Inputs{Program: "1"}
	first := digest(tree(), "amd64", in)
	if digest(tree(), "amd64", in) != first || digest(with("images/base/files/__pycache__/x", "y"), "amd64", in) != first {
		t.Error("the same inputs have another digest")
	}
	x := tree()
	x["images/base/files/profile"] = &fstest.MapFile{Data: []byte("x"), Mode: 0o755}
	for what, other := range map[string]string{
		"the lock":         digest(with(Lock, "other"), "amd64", in),
		"a parent's file":  digest(with("images/base/files/profile", "other"), "amd64", in),
		"a parent's mode":  digest(x, "amd64", in),
		"sandbox-init":     digest(tree(), "amd64", Inputs{Program: "2"}),
		"an option":        digest(tree(), "amd64", Inputs{Program: "1", Args: map[string]string{"WITH": "1"}}),
		"the architecture": digest(tree(), "arm64", in),
	} {
		if other == first {
			t.Errorf("%s is no part of the digest", what)
		}
	}
	if tag := Tag(first); len(tag) != len("inputs-")+16 {
		t.Errorf("tag %q", tag)
	}
}

func TestACircleIsAMistake(t *testing.T) {
	root := with("images/ml/Dockerfile", "ARG BASE_IMAGE=matrx-sandbox:latest\nFROM ${BASE_IMAGE}\nCOPY --from=matrx-sandbox-full:latest /x /x\n")
	c, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root, c, "amd64"); err == nil || !strings.Contains(err.Error(), "made of each other") {
		t.Errorf("a circle gives %v", err)
	}
}

func TestTheFamilyHasRecipes(t *testing.T) {
	b := loadModel(t, os.DirFS("../.."))
	core := b.Recipe("core")
	if !core.Program || !slices.Contains(core.Files, "sdk/python") || !slices.Contains(core.Files, Lock) || core.Target != "core" {
		t.Errorf("core: %+v", core)
	}
	if base := b.Recipe("base"); slices.Contains(base.Files, "sdk/python") || !base.Program {
		t.Errorf("base: %+v", base)
	}
}
