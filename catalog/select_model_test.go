package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model: the rules one after the other, each as a sieve over all images, slowly and
// obviously. It has its own idea of versions: every x.y below 6.6 is tried.
func model(o *Offer, r Request) (candidate, bool) {
	var capabilities, tools []string
	capabilities = append(capabilities, r.Capabilities...)
	tools = append(tools, r.Tools...)
	if r.Task != "" {
		capabilities = append(capabilities, o.tasks[r.Task].Capabilities...)
		tools = append(tools, o.tasks[r.Task].Tools...)
	}
	if r.Runtime != "" {
		tools = append(tools, r.Runtime)
	}
	left := o.images
	sieve := func(keep func(candidate) bool) {
		var kept []candidate
		for _, c := range left {
			if keep(c) {
				kept = append(kept, c)
			}
		}
		left = kept
	}
	for _, name := range capabilities {
		sieve(func(c candidate) bool {
			return strings.Contains(" "+strings.Join(c.manifest.Capabilities, " ")+" ", " "+name+" ")
		})
	}
	for _, t := range tools {
		name, rule, _ := strings.Cut(t, ">=")
		sieve(func(c candidate) bool {
			return slices.Contains(c.manifest.Tools, name) && (rule == "" || atLeast(c.manifest.Versions[name], rule))
		})
	}
	sieve(func(c candidate) bool { return c.registered == nil || c.standing == Conformant || r.Untested })
	if len(left) == 0 {
		return candidate{}, false
	}
	// Where a rule prefers some of them, only those are left.
	prefer := func(better func(candidate) bool) {
		all := left
		if sieve(better); len(left) == 0 {
			left = all
		}
	}
	for _, p := range r.Prefer {
		if slices.ContainsFunc(left, func(c candidate) bool { return c.manifest.Name == p }) {
			prefer(func(c candidate) bool { return c.manifest.Name == p })
			break
		}
	}
	prefer(func(c candidate) bool {
		return c.registered != nil && (r.Task != "" && slices.Contains(c.registered.Tasks, r.Task) || r.Runtime != "" && slices.Contains(c.registered.Runtimes, strings.Split(r.Runtime, ">=")[0]))
	})
	prefer(func(c candidate) bool { return r.Task != "" && slices.Contains(c.meantFor, r.Task) })
	prefer(func(c candidate) bool { return c.sizeMB > 0 })
	for size := 1; size <= 3; size++ {
		if slices.ContainsFunc(left, func(c candidate) bool { return c.sizeMB == size }) {
			prefer(func(c candidate) bool { return c.sizeMB == size })
			break
		}
	}
	least := 1000
	for _, c := range left {
		least = min(least, len(c.manifest.Capabilities)+len(c.manifest.Tools))
	}
	prefer(func(c candidate) bool { return len(c.manifest.Capabilities)+len(c.manifest.Tools) == least })
	names := []string{}
	for _, c := range left {
		names = append(names, c.manifest.Name)
	}
	first := slices.Min(names)
	prefer(func(c candidate) bool { return c.manifest.Name == first })
	return left[0], true
}

// atLeast says whether every version that have stands for is one that rule stands for, or later.
func atLeast(have, rule string) bool {
	some, all := false, true
	for major := range 6 {
		for minor := range 6 {
			v := fmt.Sprintf("%d.%d", major, minor)
			if have != v && have != fmt.Sprint(major) {
				continue
			}
			some = true
			var wantMajor, wantMinor int
			n, _ := fmt.Sscanf(rule, "%d.%d", &wantMajor, &wantMinor)
			all = all && (major > wantMajor || major == wantMajor && (n == 1 || minor >= wantMinor))
		}
	}
	return some && all
}

func TestSelectIsTheModel(t *testing.T) {
	capabilities, tools, tasks := []string{"a", "b", "c"}, []string{"x", "y"}, []string{"t", "u"}
	versions := []string{"", "1", "2", "1.0", "1.1", "2.1"}
	rules := []string{"", ">=1", ">=1.0", ">=1.1", ">=2", ">=2.1"}
	some := func(t *rapid.T, from []string, label string) []string {
		var out []string
		for _, name := range from {
			if rapid.Bool().Draw(t, label+" "+name) {
				out = append(out, name)
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		o := &Offer{tasks: map[string]Task{}, runtimes: map[string]Runtime{}}
		for _, name := range tasks {
			o.tasks[name] = Task{Capabilities: some(t, capabilities, name+" needs"), Tools: some(t, tools, name+" needs")}
		}
		// One that has everything, so that no name is unknown; how it stands is drawn as well.
		for i := range rapid.IntRange(1, 7).Draw(t, "images") {
			name := fmt.Sprintf("i%d", i)
			has, can := some(t, tools, name+" has"), some(t, capabilities, name+" can")
			if i == 0 {
				has, can = tools, capabilities
			}
			c := image(name, rapid.IntRange(0, 3).Draw(t, name+" size"), strings.Join(can, " "), has...).meant(some(t, tasks, name+" is meant for")...)
			for _, tool := range has {
				if v := rapid.SampledFrom(versions).Draw(t, name+" "+tool); v != "" {
					c.manifest.Versions[tool] = v
				}
			}
			if rapid.Bool().Draw(t, name+" is registered") {
				c = c.own(rapid.SampledFrom([]Standing{Conformant, Partial, NotConformant, Untested}).Draw(t, name+" standing"), some(t, tasks, name+" is mapped to")...)
				c.registered.Runtimes = some(t, tools, name+" is mapped to runtime")
			}
			o.images = append(o.images, c)
		}
		r := Request{
			Task: rapid.SampledFrom([]string{"", "t", "u"}).Draw(t, "task"), Capabilities: some(t, capabilities, "asks"),
			Untested: rapid.Bool().Draw(t, "untested"),
			Prefer:   rapid.SliceOfN(rapid.SampledFrom(o.imageNames()), 0, 3).Draw(t, "prefer"),
		}
		if rapid.Bool().Draw(t, "asks for a runtime") {
			r.Runtime = "x" + rapid.SampledFrom(rules).Draw(t, "runtime")
		}
		for _, tool := range some(t, tools, "asks for") {
			r.Tools = append(r.Tools, tool+rapid.SampledFrom(rules).Draw(t, tool))
		}
		if r.Task == "" && r.Runtime == "" && len(r.Tools)+len(r.Capabilities) == 0 {
			r.Task = "t"
		}
		want, found := model(o, r)
		got, err := o.Select(r)
		if found != (err == nil) || found && got.Image != want.manifest.Name {
			t.Fatalf("%+v: Select gives %s, %v; the model %v", r, got.Image, err, want.manifest)
		}
		if err != nil {
			if refusals := Refusals(err); len(refusals) != 1 || refusals[0].Kind != AskedTogether || len(refusals[0].Nearest) == 0 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		fits := true // those that fit come first, then the others
		for _, a := range got.Alternatives {
			if a.Fits && !fits {
				t.Fatalf("%s fits and comes after one that does not", a.Image)
			}
			fits = a.Fits
		}
	})
}
