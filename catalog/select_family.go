package catalog

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/matrx/sandbox/contract/spec"
)

// What is selected from when there is no checkout: family.json, which is generated from
// the image.yaml files, tasks.yaml and sizes.yaml, and committed. It is JSON and whole, since
// a platform asks before each task: reading the YAML files and the vocabulary with its
// expressions takes 10 ms, this takes less than one.
//
//go:embed family.json
var familyJSON []byte

//go:embed tasks.yaml
var tasksYAML []byte

// sizes.yaml has the measured size of each image; see gen/sizes.
//
//go:embed sizes.yaml
var sizesYAML []byte

// offered is family.json.
type offered struct {
	Images   []familyImage      `json:"images"` // parents before children
	Tasks    map[string]Task    `json:"tasks"`
	Runtimes map[string]Runtime `json:"runtimes"`
}

type familyImage struct {
	Manifest *Manifest `json:"manifest"`
	SizeMB   int       `json:"size_mb,omitempty"`
	Options  []Option  `json:"options,omitempty"`
}

// taskFile is tasks.yaml.
type taskFile struct {
	Tasks    map[string]Task    `yaml:"tasks"`
	Runtimes map[string]Runtime `yaml:"runtimes"`
}

// Builtin offers the family as it was when this module was released.
func Builtin() (*Offer, error) {
	var f offered
	if err := json.Unmarshal(familyJSON, &f); err != nil {
		return nil, fmt.Errorf("cannot read the family that this program carries: %w; run go generate ./catalog/... and build it again", err)
	}
	return f.offer(), nil
}

// Offer offers the images of a catalog, as a checkout has it.
func (c *Catalog) Offer() (*Offer, error) {
	f, err := c.family()
	if err != nil {
		return nil, err
	}
	return f.offer(), nil
}

func (f *offered) offer() *Offer {
	o := &Offer{tasks: f.Tasks, runtimes: f.Runtimes}
	for _, im := range f.Images {
		c := candidate{manifest: im.Manifest, sizeMB: im.SizeMB, options: im.Options}
		for _, t := range im.Manifest.Tasks {
			if first := o.taskNamed(t); first != "" {
				c.meantFor = append(c.meantFor, first)
			}
		}
		o.images = append(o.images, c)
	}
	return o
}

// family is what family.json says of this catalog.
func (c *Catalog) family() (*offered, error) {
	tasks, err := parseTasks(tasksYAML, c.vocab)
	if err != nil {
		return nil, err
	}
	var sizes struct {
		Megabytes map[string]int `yaml:"megabytes"`
	}
	if err := decode(sizesYAML, &sizes); err != nil {
		return nil, fmt.Errorf("cannot read sizes.yaml: %w", err)
	}
	f := &offered{Tasks: tasks.Tasks, Runtimes: tasks.Runtimes}
	for _, name := range c.Names() {
		m, err := c.Manifest(name)
		if err != nil {
			return nil, err
		}
		f.Images = append(f.Images, familyImage{Manifest: m, SizeMB: sizes.Megabytes[name], Options: c.images[name].Options})
	}
	return f, nil
}

// familyFile is family.json as it is committed.
func (c *Catalog) familyFile() ([]byte, error) {
	f, err := c.family()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(f, "", " ")
	return append(text, '\n'), err
}

// parseTasks reads tasks.yaml, and reports every mistake in it, joined.
func parseTasks(data []byte, vocab *spec.Vocabulary) (*taskFile, error) {
	var f taskFile
	if err := decode(data, &f); err != nil {
		return nil, fmt.Errorf("cannot read tasks.yaml: %w", err)
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tasks.yaml: "+format, args...)) }
	names := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Tasks)) {
		t := f.Tasks[name]
		for _, n := range append([]string{name}, t.Also...) {
			if other, taken := names[n]; taken {
				bad("%s: %q is a name of %s already", name, n, other)
			}
			names[n] = name
		}
		if t.Description == "" {
			bad("%s: description: is missing", name)
		}
		if len(t.Capabilities) == 0 {
			bad("%s: capabilities: a task needs at least one, or any image would do", name)
		}
		for _, n := range t.Capabilities {
			if _, ok := vocab.Capabilities[n]; !ok {
				bad("%s: capabilities: %q is not in contract/capabilities.yaml", name, n)
			}
		}
		for _, n := range t.Tools {
			if _, ok := vocab.Tools[n]; !ok {
				bad("%s: tools: %q is not in contract/capabilities.yaml", name, n)
			}
		}
	}
	called := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Runtimes)) {
		r := f.Runtimes[name]
		if _, ok := vocab.Tools[name]; !ok {
			bad("runtimes: %s: a runtime is named by its tool, a tool of contract/capabilities.yaml", name)
		}
		for _, n := range r.Capabilities {
			if _, ok := vocab.Capabilities[n]; !ok {
				bad("runtimes: %s: capabilities: %q is not in contract/capabilities.yaml", name, n)
			}
		}
		for _, n := range r.Also {
			if other, taken := called[n]; taken || vocab.Tools[n].Run != nil {
				bad("runtimes: %s: %q is a tool's name, or %s's, already", name, n, cmp.Or(other, n))
			}
			called[n] = name
		}
	}
	return &f, errors.Join(errs...)
}

// decode reads YAML; a field that there is not is a mistake.
func decode(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	return d.Decode(into)
}
