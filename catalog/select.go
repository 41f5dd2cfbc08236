package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Offer is what can be selected: the images of the family, and those that the user has
// registered. It is a value to read from; several goroutines may.
type Offer struct {
	images   []candidate
	tasks    map[string]Task
	runtimes map[string]Runtime // by their tools' names
}

// Task says what an image must have for it to be done.
type Task struct {
	Also         []string `yaml:"also" json:"also,omitempty"` // other names
	Description  string   `yaml:"description" json:"description"`
	Capabilities []string `yaml:"capabilities" json:"capabilities"`
	Tools        []string `yaml:"tools" json:"tools,omitempty"`
}

// Runtime says what an image must have to run programs of a kind.
type Runtime struct {
	Also         []string `yaml:"also" json:"also,omitempty"` // other names
	Capabilities []string `yaml:"capabilities" json:"capabilities"`
}

// candidate is an image of an Offer.
type candidate struct {
	manifest *Manifest
	sizeMB   int      // unpacked; 0 is unknown
	options  []Option // what it would have if it were built with them
	meantFor []string // tasks, by their first names

	registered *Registered // nil for the family's
	standing   Standing
}

func (c *candidate) reference(registry string) string {
	if c.registered != nil {
		return c.registered.Reference
	}
	return Reference(registry, c.manifest.Name, c.manifest.Version)
}

// Select answers a request from the family that this module carries and the images in
// the user's catalog (UserFile). To select from something else, see Builtin, Catalog.Offer
// and Offer.With.
func Select(r Request) (Selection, error) {
	o, err := Builtin()
	if err != nil {
		return Selection{}, err
	}
	file, err := UserFile()
	if err != nil {
		return Selection{}, err
	}
	u, err := ReadUser(file)
	if err != nil {
		return Selection{}, err
	}
	if o, err = o.With(u); err != nil {
		return Selection{}, err
	}
	return o.Select(r)
}

// Select gives the smallest image that has all that is asked. Among those, the ones that
// are preferred go first, then those that the user has mapped to the task or the runtime,
// then those that are meant for the task. What no image has is a *Refusal, or several
// that are joined.
func (o *Offer) Select(r Request) (Selection, error) {
	a, err := o.understand(r)
	if err != nil {
		return Selection{}, err
	}
	var found []judged
	for i := range o.images {
		found = append(found, a.judge(&o.images[i]))
	}
	slices.SortFunc(found, compare)
	if !found[0].fits() {
		return Selection{}, a.refuse(found)
	}
	return a.selection(found), nil
}

// asked is a request that has been understood.
type asked struct {
	Request
	task         string // its first name
	capabilities []string
	tools        []toolNeed
	runtime      string // its tool; "" when none was asked
}

// understand looks every name up. All that are unknown are reported together.
func (o *Offer) understand(r Request) (asked, error) {
	a := asked{Request: r, capabilities: slices.Clone(r.Capabilities)}
	var errs []error
	if r.Task == "" && r.Runtime == "" && len(r.Capabilities) == 0 && len(r.Tools) == 0 {
		return a, &Refusal{Kind: AskedNothing, Reason: "nothing was asked for: name a task, a runtime, capabilities or tools"}
	}
	var needed []string // tools
	if r.Task != "" {
		name := o.taskNamed(r.Task)
		if name == "" {
			errs = append(errs, unknown(AskedTask, r.Task, o.taskNames()))
		}
		a.task = name
		a.capabilities = append(a.capabilities, o.tasks[name].Capabilities...)
		needed = o.tasks[name].Tools
	}
	if r.Runtime != "" {
		need, err := o.need(r.Runtime, AskedRuntime)
		if err != nil {
			errs = append(errs, err)
		}
		a.tools, a.runtime = append(a.tools, need), need.Tool
		a.capabilities = append(a.capabilities, o.runtimes[need.Tool].Capabilities...)
	}
	for _, t := range slices.Concat(r.Tools, needed) {
		need, err := o.need(t, AskedTool)
		if err != nil {
			errs = append(errs, err)
		}
		a.tools = append(a.tools, need)
	}
	known := o.Capabilities()
	for _, c := range r.Capabilities {
		if !slices.Contains(known, c) {
			errs = append(errs, o.withOption(unknown(AskedCapability, c, known), func(op Option) []string { return op.Capabilities }))
		}
	}
	for _, p := range r.Prefer {
		if !slices.ContainsFunc(o.images, func(c candidate) bool { return c.called(p) }) {
			errs = append(errs, unknown(AskedPreferred, p, o.imageNames()))
		}
	}
	slices.Sort(a.capabilities)
	a.capabilities = slices.Compact(a.capabilities)
	slices.SortFunc(a.tools, func(x, y toolNeed) int { return strings.Compare(x.Asked, y.Asked) })
	a.tools = slices.CompactFunc(a.tools, func(x, y toolNeed) bool { return x.Asked == y.Asked })
	return a, errors.Join(errs...)
}

// need looks a tool or a runtime up.
func (o *Offer) need(text string, kind Asked) (toolNeed, error) {
	known := o.Tools()
	names := known
	find := func(name string) string {
		if kind == AskedRuntime {
			name = o.runtimeNamed(name)
		}
		if slices.Contains(known, name) {
			return name
		}
		return ""
	}
	if kind == AskedRuntime {
		names = o.Runtimes()
	}
	name, behind := splitNeed(text)
	tool, digits := find(name), ""
	if base, d := splitDigits(name); tool == "" && d != "" {
		tool, digits = find(base), d
	}
	if tool == "" {
		return toolNeed{}, o.withOption(unknown(kind, name, names), func(op Option) []string { return op.Tools })
	}
	var all []versionRule
	for _, part := range []string{digits, behind} {
		rules, err := parseRules(part)
		if err != nil {
			return toolNeed{}, &Refusal{Kind: kind, Name: text, Reason: fmt.Sprintf("cannot understand the %s %q: %v", kind, text, err)}
		}
		all = append(all, rules...)
	}
	return toolNeed{Tool: tool, Asked: text, rules: all}, nil
}

// withOption says so when an image could be built with what is missing.
func (o *Offer) withOption(r *Refusal, of func(Option) []string) *Refusal {
	for _, c := range o.images {
		for _, op := range c.options {
			if slices.Contains(of(op), r.Name) {
				r.Reason += fmt.Sprintf("; %s has it when it is built with %s", c.manifest.Name, op.Arg)
			}
		}
	}
	return r
}

// called says whether a name, or a reference, is this image's.
func (c *candidate) called(name string) bool {
	return c.manifest.Name == name || c.reference("") == name || c.registered == nil && Named(name) == c.manifest.Name
}
