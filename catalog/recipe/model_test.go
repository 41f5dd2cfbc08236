package recipe

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/matrx/sandbox/catalog"
)

// The model: a family as data, from which both the repository and, slowly and obviously,
// what each image would contain are written down. Two states of a family differ in an
// image exactly when these texts differ.
type family struct {
	Order  []string
	Images map[string]*modelImage
	Files  map[string]string
	Go     string // what sandbox-init is compiled from
}

type modelImage struct {
	Extends string
	Stages  []modelStage
	Comment string
}

type modelStage struct {
	From  int // a stage before, or -1: the parent
	Steps []step
}

// step is one instruction.
type step struct {
	Kind  string // copy, mount, from, stage, run, init
	What  string
	Stage int
}

func (f *family) clone() *family {
	out := &family{Order: slices.Clone(f.Order), Images: map[string]*modelImage{}, Files: maps.Clone(f.Files), Go: f.Go}
	for name, im := range f.Images {
		c := *im
		c.Stages = nil
		for _, s := range im.Stages {
			c.Stages = append(c.Stages, modelStage{s.From, slices.Clone(s.Steps)})
		}
		out.Images[name] = &c
	}
	return out
}

// contents is what an image contains, and how it came there.
func (f *family) contents(name string) string {
	im := f.Images[name]
	return f.stage(im, len(im.Stages)-1)
}

func (f *family) stage(im *modelImage, i int) string {
	s := im.Stages[i]
	var b strings.Builder
	switch {
	case s.From >= 0:
		fmt.Fprintf(&b, "[%d: %s]", s.From, f.stage(im, s.From))
	case im.Extends != "":
		fmt.Fprintf(&b, "{%s: %s}", im.Extends, f.contents(im.Extends))
	}
	for _, step := range s.Steps {
		switch fmt.Fprintf(&b, " %s %s", step.Kind, step.What); step.Kind {
		case "copy", "mount":
			for _, p := range slices.Sorted(maps.Keys(f.Files)) {
				if p == step.What || strings.HasPrefix(p, step.What+"/") || glob(step.What, p) {
					fmt.Fprintf(&b, " <%s=%s>", p, f.Files[p])
				}
			}
		case "from":
			b.WriteString(f.contents(step.What))
		case "stage":
			b.WriteString(f.stage(im, step.Stage))
		case "init":
			b.WriteString(f.Go)
		}
	}
	return b.String()
}

func glob(pattern, p string) bool {
	ok, _ := path.Match(pattern, p)
	return ok
}

// tree writes the family as a repository.
func (f *family) tree() fstest.MapFS {
	out := fstest.MapFS{Lock: {Data: []byte("lock")}}
	for p, text := range f.Files {
		out[p] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, im := range f.Images {
		out["images/"+name+"/image.yaml"] = &fstest.MapFile{Data: []byte(fmt.Sprintf(`
name: %s
version: 1.0.0
tier: variant
extends: %q
description: A model.
contract: {version: 1.0.0, profile: lifecycle}
access: restricted
limits: {memory_mb: 512, cpu_cores: 1, timeout_seconds: 300, max_processes: 50}
`, name, im.Extends))}
		base := "debian:trixie-slim"
		if im.Extends != "" {
			base = catalog.Reference("", im.Extends, "")
		}
		var b strings.Builder
		fmt.Fprintf(&b, "# %s\nARG BASE_IMAGE=%s\n", im.Comment, base)
		for i, s := range im.Stages {
			from := "${BASE_IMAGE}"
			if s.From >= 0 {
				from = fmt.Sprintf("s%d", s.From)
			}
			fmt.Fprintf(&b, "\nFROM %s AS s%d\n# %s\nARG TARGETARCH\n", from, i, im.Comment)
			for _, step := range s.Steps {
				switch step.Kind {
				case "copy":
					fmt.Fprintf(&b, "COPY %s /x/\n", step.What)
				case "mount":
					fmt.Fprintf(&b, "RUN --mount=type=bind,source=%s,target=/mnt \\\n    sh /mnt/x\n", step.What)
				case "from":
					fmt.Fprintf(&b, "COPY --from=%s /x /x\n", catalog.Reference("", step.What, ""))
				case "stage":
					fmt.Fprintf(&b, "RUN --mount=from=s%d,target=/s cp /s /x\n", step.Stage)
				case "init":
					fmt.Fprintf(&b, "COPY bin/linux-${TARGETARCH}/sandbox-init /init\n")
				case "run":
					fmt.Fprintf(&b, "RUN %s\n", step.What)
				}
			}
		}
		out["images/"+name+"/Dockerfile"] = &fstest.MapFile{Data: []byte(b.String())}
	}
	return out
}

var (
	modelFiles = []string{"parts/a/files/x", "parts/a/files/y", "parts/a/packages.apt", "parts/b/files/x", "parts/b/packages.apt", "shared/one", "shared/deep/two", "docs/readme"}
	modelPaths = []string{"parts/a/files", "parts/a/files/x", "parts/a/packages.apt", "parts/b/files", "parts/b/*.apt", "parts/*/packages.apt", "shared", "shared/deep", "parts/a"}
)

func drawStep(t *rapid.T, below []string, stages int) step {
	kinds := []string{"copy", "mount", "run", "init"}
	if len(below) > 0 {
		kinds = append(kinds, "from")
	}
	if stages > 0 {
		kinds = append(kinds, "stage")
	}
	s := step{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	switch s.Kind {
	case "copy":
		s.What = rapid.SampledFrom(modelPaths).Draw(t, "source")
	case "mount": // of a folder: a bind mount knows no patterns
		s.What = rapid.SampledFrom([]string{"parts/a", "parts/a/files", "parts/b/files", "shared"}).Draw(t, "mounted")
	case "from":
		s.What = rapid.SampledFrom(below).Draw(t, "from")
	case "stage":
		s.Stage = rapid.IntRange(0, stages-1).Draw(t, "stage")
	case "run":
		s.What = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "command")
	}
	return s
}

func drawFamily(t *rapid.T) *family {
	f := &family{Images: map[string]*modelImage{}, Files: map[string]string{}, Go: "1"}
	for _, p := range modelFiles {
		f.Files[p] = "1"
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "images") {
		name := string(rune('a' + i))
		im := &modelImage{}
		if i > 0 && rapid.IntRange(0, 4).Draw(t, "rooted") > 0 {
			im.Extends = rapid.SampledFrom(f.Order).Draw(t, "extends")
		}
		for s := range rapid.IntRange(1, 3).Draw(t, "stages") {
			stage := modelStage{From: rapid.IntRange(-1, s-1).Draw(t, "stage from")}
			for range rapid.IntRange(0, 3).Draw(t, "steps") {
				stage.Steps = append(stage.Steps, drawStep(t, f.Order, s))
			}
			im.Stages = append(im.Stages, stage)
		}
		f.Order = append(f.Order, name)
		f.Images[name] = im
	}
	return f
}

// mutate changes a family somehow.
func mutate(t *rapid.T, f *family) {
	name := rapid.SampledFrom(f.Order).Draw(t, "changed image")
	im := f.Images[name]
	stage := &im.Stages[rapid.IntRange(0, len(im.Stages)-1).Draw(t, "changed stage")]
	file := rapid.SampledFrom(modelFiles).Draw(t, "changed file")
	switch rapid.SampledFrom([]string{"edit", "edit", "remove", "add", "go", "comment", "step", "drop"}).Draw(t, "change") {
	case "edit":
		f.Files[file] += "+"
	case "remove":
		if file != "parts/a/packages.apt" && file != "parts/b/packages.apt" { // a pattern always finds these
			delete(f.Files, file)
		}
	case "add":
		f.Files[path.Dir(file)+"/new"] = "1"
	case "go":
		f.Go += "+"
	case "comment":
		im.Comment += "+"
	case "step":
		stage.Steps = append(stage.Steps, step{Kind: "run", What: "echo more"})
	case "drop":
		if len(stage.Steps) > 0 {
			stage.Steps = stage.Steps[1:]
		}
	}
}

// changed is what `git diff --name-only` would say.
func changed(before, after fstest.MapFS) []string {
	var out []string
	for p := range maps.Keys(after) {
		if old := before[p]; old == nil || string(old.Data) != string(after[p].Data) {
			out = append(out, p)
		}
	}
	for p := range before {
		if after[p] == nil {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func loadModel(t interface{ Fatalf(string, ...any) }, root fs.FS) *Set {
	c, err := catalog.Load(root)
	if err != nil {
		t.Fatalf("%v", err)
	}
	b, err := Load(root, c, "amd64")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

// The plan names exactly the images whose contents differ, and so do the digests.
func TestPlanAgreesWithAnObviousModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawFamily(t)
		now := old.clone()
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			mutate(t, now)
		}
		before, after := old.tree(), now.tree()
		b := loadModel(t, after)
		change := Change{Before: before, Paths: changed(before, after)}
		if now.Go != old.Go {
			change.Program = []string{"cmd/sandbox-init/main.go"}
		}
		plan, err := b.Plan(change)
		if err != nil {
			t.Fatal(err)
		}
		level := map[string]int{}
		for _, r := range plan {
			level[r.Image] = r.Level
			if len(r.Causes) == 0 {
				t.Errorf("%s is rebuilt for no cause", r.Image)
			}
			for _, p := range b.Recipe(r.Image).Parents {
				if l, ok := level[p]; ok && l >= r.Level {
					t.Errorf("%s is at level %d, %s, of which it is made, at %d", r.Image, r.Level, p, l)
				}
			}
		}
		oldDigests, newDigests := digests(t, loadModel(t, before), old), digests(t, b, now)
		for _, name := range now.Order {
			differs := old.contents(name) != now.contents(name)
			if _, planned := level[name]; planned != differs {
				t.Errorf("%s: planned %v, but it differs: %v\nbefore: %s\nafter:  %s\nplan: %v", name, planned, differs, old.contents(name), now.contents(name), plan)
			}
			if (oldDigests[name] != newDigests[name]) != differs {
				t.Errorf("%s: the digests differ: %v, but the contents: %v", name, oldDigests[name] != newDigests[name], differs)
			}
		}
	})
}

func digests(t *rapid.T, b *Set, f *family) map[string]string {
	out, err := b.Digests(f.Order, func(string) (Inputs, error) { return Inputs{Program: f.Go}, nil })
	if err != nil {
		// A mounted folder whose last file went is nothing that can be built.
		if strings.Contains(err.Error(), "file does not exist") {
			t.SkipNow() //nolint:forbidigo // rapid draws another case
		}
		t.Fatal(err)
	}
	return out
}
