package catalog

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/matrx/sandbox/contract/spec"
)

// image makes a candidate: "a b" are capabilities, tools are written with their versions.
func image(name string, sizeMB int, capabilities string, tools ...string) candidate {
	m := &Manifest{Name: name, Version: "1.0.0", Access: Restricted, Limits: Limits{MemoryMB: 64}, Capabilities: strings.Fields(capabilities), Versions: map[string]string{}}
	for _, t := range tools {
		tool, version, _ := strings.Cut(t, "=")
		m.Tools = append(m.Tools, tool)
		if version != "" {
			m.Versions[tool] = version
		}
	}
	return candidate{manifest: m, sizeMB: sizeMB}
}

func (c candidate) meant(tasks ...string) candidate {
	c.meantFor = tasks
	return c
}

// own makes a registered image of it.
func (c candidate) own(s Standing, tasks ...string) candidate {
	c.registered = &Registered{Reference: "example.com/" + c.manifest.Name + ":1", Digest: "sha256:0", Tasks: tasks}
	c.standing = s
	return c
}

func offer(images ...candidate) *Offer {
	return &Offer{
		images:   images,
		tasks:    map[string]Task{"paint": {Also: []string{"draw"}, Capabilities: []string{"colour"}}, "write": {Capabilities: []string{"ink"}, Tools: []string{"pen"}}},
		runtimes: map[string]Runtime{"python3": {Also: []string{"python"}, Capabilities: []string{"python"}}},
	}
}

// The case that breaks each rule.
func TestSelect(t *testing.T) {
	small := image("small", 10, "colour")
	large := image("large", 900, "colour ink python", "pen=2.1", "python3=3.13", "brush")
	for _, tc := range []struct {
		name   string
		offer  *Offer
		ask    Request
		want   string
		reason string            // part of it
		lost   map[string]string // parts of why the others lost
	}{
		{"the smallest that has it", offer(large, small), Request{Capabilities: []string{"colour"}}, "small", "the smallest of the 2", map[string]string{"large": "larger: 900 MB, not 10"}},
		{"not a smaller one that lacks a capability", offer(large, small), Request{Capabilities: []string{"colour", "ink"}}, "large", "the only image", map[string]string{"small": "cannot do ink"}},
		{"nor one that lacks a tool", offer(large, small), Request{Capabilities: []string{"colour"}, Tools: []string{"brush"}}, "large", "", map[string]string{"small": "has no brush"}},
		{"nor one whose version is too old", offer(large, image("old", 1, "", "pen=1.9")), Request{Tools: []string{"pen>=2"}}, "large", "", map[string]string{"old": "has pen 1.9 (pen>=2 was asked)"}},
		{"nor one that does not say its version", offer(large, image("mute", 1, "", "pen")), Request{Tools: []string{"pen>=2"}}, "large", "", map[string]string{"mute": "does not say the version of its pen"}},
		{"a task asks for what it needs", offer(large, image("blot", 1, "ink")), Request{Task: "write"}, "large", "", map[string]string{"blot": "has no pen"}},
		{"by another name", offer(small), Request{Task: "draw"}, "small", "the task paint needs", nil},
		{"what is meant for the task goes before what is smaller", offer(small, image("studio", 500, "colour").meant("paint")), Request{Task: "paint"}, "studio", "meant for the task", map[string]string{"small": "not meant for the task"}},
		{"but never without what the task needs", offer(small, image("studio", 5, "ink").meant("paint")), Request{Task: "paint"}, "small", "", map[string]string{"studio": "cannot do colour"}},
		{"nor without what else is asked", offer(large, image("studio", 5, "colour").meant("paint")), Request{Task: "paint", Capabilities: []string{"ink"}}, "large", "", map[string]string{"studio": "cannot do ink"}},
		{"what the user has mapped goes before what is meant for it", offer(small.meant("paint"), image("mine", 700, "colour").own(Conformant, "paint")), Request{Task: "paint"}, "mine", "mapped to it", map[string]string{"small": "mine is mapped to it"}},
		{"but never without what the task needs, either", offer(small, image("mine", 1, "ink").own(Conformant, "paint")), Request{Task: "paint"}, "small", "", map[string]string{"mine": "cannot do colour"}},
		{"what is preferred goes first", offer(small, large, image("mine", 5, "colour").own(Conformant, "paint")), Request{Task: "paint", Prefer: []string{"large"}}, "large", "preferred", map[string]string{"small": "large is preferred"}},
		{"in the order of preference", offer(small, large), Request{Task: "paint", Prefer: []string{"small", "large"}}, "small", "preferred", nil},
		{"by reference", offer(small, large), Request{Task: "paint", Prefer: []string{"example.com/matrx-sandbox-large:latest"}}, "large", "preferred", nil},
		{"but never when it lacks something", offer(small, image("dear", 5, "ink")), Request{Task: "paint", Prefer: []string{"dear"}}, "small", "", map[string]string{"dear": "cannot do colour"}},
		{"a runtime by its tool, and what its programs count on", offer(large, image("yq", 5, "", "python3=3.13")), Request{Runtime: "python"}, "large", "", map[string]string{"yq": "cannot do python"}},
		{"a runtime with a version", offer(large, image("next", 5, "python", "python3=3.14")), Request{Runtime: "python3.13"}, "large", "", map[string]string{"next": "has python3 3.14"}},
		{"a runtime that is a tool", offer(large), Request{Runtime: "brush"}, "large", "", nil},
		{"an image of unknown size after those that were measured", offer(image("a", 0, "colour"), large), Request{Task: "paint"}, "large", "", map[string]string{"a": "size is not known"}},
		{"of two that are as large, the one with less", offer(image("a", 10, "colour ink"), small), Request{Task: "paint"}, "small", "", map[string]string{"a": "small has less besides"}},
		{"of two that are alike, the first by name", offer(image("b", 10, "colour"), image("a", 10, "colour")), Request{Task: "paint"}, "a", "", nil},
		{"not what failed the suite", offer(large, image("mine", 1, "colour").own(NotConformant)), Request{Task: "paint"}, "large", "", map[string]string{"mine": "does not keep the contract"}},
		{"nor what the suite judged in part", offer(large, image("mine", 1, "colour").own(Partial)), Request{Task: "paint"}, "large", "", map[string]string{"mine": "in part only"}},
		{"nor what never ran it, not even if it is mapped and preferred", offer(large, image("mine", 1, "colour").own(Untested, "paint")), Request{Task: "paint", Prefer: []string{"mine"}}, "large", "", map[string]string{"mine": "never judged"}},
		{"unless that is asked for", offer(large, image("mine", 1, "colour").own(NotConformant)), Request{Task: "paint", Untested: true}, "mine", "the suite: not conformant", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := tc.offer.Select(tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			if s.Image != tc.want || !strings.Contains(s.Reason, tc.reason) {
				t.Errorf("selected %s because %q; want %s because %q", s.Image, s.Reason, tc.want, tc.reason)
			}
			if len(s.Alternatives) != len(tc.offer.images)-1 {
				t.Errorf("%d alternatives of %d images", len(s.Alternatives), len(tc.offer.images))
			}
			for _, a := range s.Alternatives {
				if !strings.Contains(a.Lost, tc.lost[a.Image]) || a.Lost == "" {
					t.Errorf("%s lost because %q, want %q", a.Image, a.Lost, tc.lost[a.Image])
				}
			}
		})
	}
}

func TestSelectRefuses(t *testing.T) {
	optional := image("large", 900, "colour ink", "pen=2.1", "python3=3.13")
	optional.options = []Option{{Arg: "WITH_OIL", Capabilities: []string{"oil"}, Tools: []string{"palette"}}}
	o := offer(optional, image("small", 10, "colour"), image("mine", 1, "glue").own(Untested))
	for _, tc := range []struct {
		name string
		ask  Request
		want []Refusal // Kind, Name, Nearest; Reason is a part of it
	}{
		{"nothing is asked", Request{Prefer: []string{"small"}}, []Refusal{{AskedNothing, "", nil, "name a task"}}},
		{"an unknown task", Request{Task: "pain"}, []Refusal{{AskedTask, "pain", []string{"paint", "draw", "write"}, "the nearest are paint, draw"}}},
		{"a capability that no image has", Request{Capabilities: []string{"color"}}, []Refusal{{AskedCapability, "color", []string{"colour", "glue", "ink"}, "no image has the capability"}}},
		{"one that an image could be built with", Request{Capabilities: []string{"oil"}}, []Refusal{{AskedCapability, "oil", []string{"ink", "glue", "colour"}, "large has it when it is built with WITH_OIL"}}},
		{"a tool that no image has", Request{Tools: []string{"penn"}}, []Refusal{{AskedTool, "penn", []string{"pen", "python3"}, ""}}},
		{"a runtime that no image has", Request{Runtime: "pyton"}, []Refusal{{AskedRuntime, "pyton", []string{"python", "python3", "pen"}, ""}}},
		{"a tool is asked for by its own name", Request{Tools: []string{"python"}}, []Refusal{{AskedTool, "python", []string{"python3", "pen"}, ""}}},
		{"a version that says nothing", Request{Runtime: "python>=new"}, []Refusal{{AskedRuntime, "python>=new", nil, "cannot understand"}}},
		{"a preferred image that there is not", Request{Task: "paint", Prefer: []string{"smal"}}, []Refusal{{AskedPreferred, "smal", []string{"small", "mine", "large"}, ""}}},
		{"a combination that no image has", Request{Task: "paint", Capabilities: []string{"ink"}, Tools: []string{"pen>=3"}}, []Refusal{{AskedTogether, "", []string{"large", "small", "mine"}, "large (has pen 2.1 (pen>=3 was asked))"}}},
		{"what only an untested image has", Request{Capabilities: []string{"glue"}}, []Refusal{{AskedTogether, "", []string{"mine", "small", "large"}, "mine (was never judged by the suite"}}},
		{"all that is unknown, together", Request{Task: "x", Capabilities: []string{"y"}}, []Refusal{{AskedTask, "x", nil, ""}, {AskedCapability, "y", nil, ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := o.Select(tc.ask)
			got := Refusals(err)
			if len(got) != len(tc.want) {
				t.Fatalf("%v: %d refusals, want %d", err, len(got), len(tc.want))
			}
			for i, want := range tc.want {
				if want.Nearest == nil {
					got[i].Nearest = nil
				}
				if got[i].Kind != want.Kind || got[i].Name != want.Name || !slices.Equal(got[i].Nearest, want.Nearest) || !strings.Contains(got[i].Reason, want.Reason) {
					t.Errorf("%+v, want %+v", *got[i], want)
				}
			}
		})
	}
}

// Every image that is meant for a task has what the task needs, and every task that there
// is can be done.
func TestImagesHaveWhatTheirTasksNeed(t *testing.T) {
	c, err := Load(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Offer()
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range o.images {
		for _, task := range im.manifest.Tasks {
			if o.taskNamed(task) == "" {
				t.Errorf("%s is meant for %q, which tasks.yaml does not know", im.manifest.Name, task)
			}
		}
		for _, task := range im.meantFor {
			a, err := o.understand(Request{Task: task})
			if err != nil {
				t.Fatal(err)
			}
			if j := a.judge(&im); !j.fits() {
				t.Errorf("%s is meant for %s, but %s", im.manifest.Name, task, strings.Join(j.missing, "; "))
			}
		}
	}
}

// What each task selects from the family. A change here is a change for users.
func TestTheFamilysTasks(t *testing.T) {
	o, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"research":  {"research", "literature_review", "document_analysis", "docgen", "pdf_generation", "markdown", "data_analysis", "visualization"},
		"websearch": {"websearch"}, "core": {"web_scraping", "frontend", "fullstack"},
		"python": {"python_dev", "api_testing", "testing", "code_review"}, "nodejs": {"nodejs_dev"},
		"data":  {"backend", "data_processing", "integration_testing", "migration"},
		"shell": {"shell", "scripting", "automation", "file_processing"},
		"ml":    {"ml_training"}, "media": {"transcoding", "audio_processing", "image_processing"},
	}
	got := map[string][]string{}
	for task := range o.Tasks() {
		s, err := o.Select(Request{Task: task})
		if err != nil {
			t.Errorf("%s: %v", task, err)
			continue
		}
		got[s.Image] = append(got[s.Image], task)
	}
	for _, m := range []map[string][]string{want, got} {
		for _, tasks := range m {
			slices.Sort(tasks)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for runtime, want := range map[string]string{
		"python": "python", "python3": "python", "python>=3.12": "python", "node": "nodejs", "node22": "nodejs", "node20": "core", "node<22": "core", "npm": "nodejs", "bash": "base", "zsh": "shell",
	} {
		if s, err := o.Select(Request{Runtime: runtime}); err != nil || s.Image != want {
			t.Errorf("%s selects %s, %v; want %s", runtime, s.Image, err, want)
		}
	}
}

func TestTasksFileReportsEverythingTogether(t *testing.T) {
	_, err := parseTasks([]byte(`
tasks:
  a: {also: [b], description: x, capabilities: [shell]}
  b: {description: x, capabilities: [sorcery], tools: [wand]}
  c: {capabilities: []}
runtimes:
  wand: {capabilities: [magic]}
  bash: {also: [zsh, sh]}
  zsh: {also: [sh]}
`), spec.CurrentVocabulary())
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, want := range []string{
		`b: "b" is a name of a already`, `capabilities: "sorcery"`, `tools: "wand"`, "c: description", "c: capabilities: a task needs",
		"runtimes: wand: a runtime is named by its tool", `runtimes: wand: capabilities: "magic"`, `bash: "zsh" is a tool's name`, `zsh: "sh"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q", want)
		}
	}
	if _, err := parseTasks([]byte("tasks: {a: {capability: [shell]}}"), spec.CurrentVocabulary()); err == nil {
		t.Error("a misspelt field is accepted")
	}
}

// What family.json carries is what the image.yaml files say, unknown fields included.
func TestTheFamilyKeepsWhatItDoesNotKnow(t *testing.T) {
	m := &Manifest{}
	if err := json.Unmarshal([]byte(`{"name":"x","gpu":{"count":2},"versions":{"a":"1"},"tasks":["t"]}`), m); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(offered{Images: []familyImage{{Manifest: m}}, Tasks: map[string]Task{"t": {}}})
	if err != nil {
		t.Fatal(err)
	}
	var again offered
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, again.Images[0].Manifest); diff != "" || string(m.Extra["gpu"]) != `{"count":2}` {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVariants(t *testing.T) {
	o := offer(image("base", 1, "a"), image("core", 1, "a"), image("ml", 1, "a"), image("mine", 1, "a").own(Conformant))
	if diff := cmp.Diff([]string{"base", "core", "ml"}, o.Variants()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		registry string
		Variant
		want string
	}{
		{"", Variant{"core", ""}, "matrx-sandbox:latest"},
		{"registry.example.com/team", Variant{"ml", "1.2.0"}, "registry.example.com/team/matrx-sandbox-ml:1.2.0"},
	} {
		if got, err := o.Resolve(tc.registry, tc.Variant); err != nil || got != tc.want {
			t.Errorf("%v: %s, %v; want %s", tc.Variant, got, err, tc.want)
		}
	}
	var r *Refusal
	if _, err := o.Resolve("", Variant{"mi", ""}); !errors.As(err, &r) || r.Kind != AskedVariant || r.Nearest[0] != "ml" {
		t.Errorf("an unknown variant: %v", err)
	}
	if _, err := o.Resolve("", Variant{"ml", "1.0/x"}); err == nil || !strings.Contains(err.Error(), "no tag") {
		t.Errorf("a version that is no tag: %v", err)
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"reserch", "research", 1}, {"raesearch", "research", 1}, {"researhc", "research", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%s to %s: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if there, back := distance(tc.a, tc.b), distance(tc.b, tc.a); there != back {
			t.Errorf("%s and %s: %d there, %d back", tc.a, tc.b, there, back)
		}
	}
}
