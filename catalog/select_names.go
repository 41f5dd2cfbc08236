package catalog

import (
	"maps"
	"slices"
	"strings"
)

// Tasks are the tasks that can be asked for, by their first names.
func (o *Offer) Tasks() map[string]Task { return maps.Clone(o.tasks) }

// Capabilities are what at least one of the images has, sorted.
func (o *Offer) Capabilities() []string {
	return o.union(func(m *Manifest) []string { return m.Capabilities })
}

// Tools are what at least one of the images has, sorted.
func (o *Offer) Tools() []string { return o.union(func(m *Manifest) []string { return m.Tools }) }

// Runtimes are the names of runtimes that at least one of the images has, sorted: those
// that are not tools' own names, and all tools.
func (o *Offer) Runtimes() []string {
	out := o.Tools()
	for name, r := range o.runtimes {
		if slices.Contains(out, name) {
			out = append(out, r.Also...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (o *Offer) union(of func(*Manifest) []string) []string {
	var out []string
	for _, c := range o.images {
		out = append(out, of(c.manifest)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// taskNamed is the first name of a task; "" when there is none of that name.
func (o *Offer) taskNamed(name string) string {
	if _, ok := o.tasks[name]; ok {
		return name
	}
	for first, t := range o.tasks {
		if slices.Contains(t.Also, name) {
			return first
		}
	}
	return ""
}

// runtimeNamed is the tool of a runtime; a name that is no alias of a runtime is a tool's.
func (o *Offer) runtimeNamed(name string) string {
	for tool, r := range o.runtimes {
		if slices.Contains(r.Also, strings.ToLower(name)) {
			return tool
		}
	}
	return name
}

func (o *Offer) taskNames() []string {
	var out []string
	for name, t := range o.tasks {
		out = append(append(out, name), t.Also...)
	}
	return out
}

func (o *Offer) imageNames() []string {
	var out []string
	for _, c := range o.images {
		out = append(out, c.manifest.Name)
	}
	return out
}
