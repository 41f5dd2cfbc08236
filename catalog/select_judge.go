package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// judged is what a request found of an image.
type judged struct {
	*candidate
	missing []string // what it lacks, as clauses; none: it fits
	lacking int      // how much that is: a version that does not do is half of a tool that is not there

	preferred int  // its place in Request.Prefer; their number when it is in none
	mapped    bool // the user maps it to the task or the runtime
	meant     bool // it is meant for the task
}

func (j judged) fits() bool { return len(j.missing) == 0 }

// judge holds an image against what is asked. What it is mapped to or meant for is never
// a reason to let something be missing.
func (a asked) judge(c *candidate) judged {
	j := judged{candidate: c, preferred: len(a.Prefer)}
	var capabilities, tools []string
	for _, name := range a.capabilities {
		if !slices.Contains(c.manifest.Capabilities, name) {
			capabilities = append(capabilities, name)
		}
	}
	for _, need := range a.tools {
		if !slices.Contains(c.manifest.Tools, need.Tool) {
			tools = append(tools, need.Tool)
		} else if why := need.missing(c.manifest.Versions[need.Tool]); why != "" {
			j.missing = append(j.missing, why)
		}
	}
	j.lacking = len(j.missing) + 2*len(tools) + 2*len(capabilities)
	if len(tools) > 0 {
		j.missing = append([]string{"has no " + strings.Join(slices.Compact(tools), ", ")}, j.missing...)
	}
	if len(capabilities) > 0 {
		j.missing = append([]string{"cannot do " + strings.Join(capabilities, ", ")}, j.missing...)
	}
	if c.registered != nil && c.standing != Conformant && !a.Untested {
		j.missing = append(j.missing, untested(c))
		j.lacking++
	}
	for i, p := range a.Prefer {
		if c.called(p) {
			j.preferred = min(j.preferred, i)
		}
	}
	j.meant = a.task != "" && slices.Contains(c.meantFor, a.task)
	if u := c.registered; u != nil {
		j.mapped = a.task != "" && slices.Contains(u.Tasks, a.task) || a.runtime != "" && slices.Contains(u.Runtimes, a.runtime)
	}
	return j
}

func untested(c *candidate) string {
	reference := c.registered.Reference
	switch c.standing {
	case NotConformant:
		return "does not keep the contract, as the suite found (see `sandbox conformance " + reference + "`, or ask with --untested)"
	case Partial:
		return "was judged by the suite in part only (see `sandbox conformance " + reference + "`, or ask with --untested)"
	}
	return "was never judged by the suite (run `sandbox conformance " + reference + "`, or ask with --untested)"
}

// compare puts the better of two first. Sizes decide between images that fit alike; one
// of unknown size comes after those that were measured.
func compare(a, b judged) int {
	rank := func(yes bool) int {
		if yes {
			return 0
		}
		return 1
	}
	size := func(j judged) int {
		if j.sizeMB == 0 {
			return 1 << 30
		}
		return j.sizeMB
	}
	return cmp.Or(
		cmp.Compare(a.lacking, b.lacking), // 0 when it fits
		cmp.Compare(a.preferred, b.preferred),
		cmp.Compare(rank(a.mapped), rank(b.mapped)),
		cmp.Compare(rank(a.meant), rank(b.meant)),
		cmp.Compare(size(a), size(b)),
		cmp.Compare(len(a.manifest.Capabilities)+len(a.manifest.Tools), len(b.manifest.Capabilities)+len(b.manifest.Tools)),
		cmp.Compare(a.manifest.Name, b.manifest.Name),
		cmp.Compare(a.reference(""), b.reference("")),
	)
}

// refuse says that no image has all of it, and which lack least.
func (a asked) refuse(found []judged) *Refusal {
	r := &Refusal{Kind: AskedTogether, Reason: "no image has " + a.what()}
	var parts []string
	for _, j := range found[:min(len(found), mostNear)] {
		r.Nearest = append(r.Nearest, j.manifest.Name)
		parts = append(parts, j.manifest.Name+" ("+strings.Join(j.missing, "; ")+")")
	}
	r.Reason += "; the nearest are " + strings.Join(parts, ", ")
	return r
}

// what names all that is asked.
func (a asked) what() string {
	var parts []string
	if len(a.capabilities) > 0 {
		parts = append(parts, named("capability", "capabilities", a.capabilities))
	}
	if names := a.toolNames(); len(names) > 0 {
		parts = append(parts, named("tool", "tools", names))
	}
	what := strings.Join(parts, " and ")
	if a.task != "" {
		what = fmt.Sprintf("what the task %s needs: %s", a.task, what)
		if a.Runtime != "" || len(a.Request.Capabilities)+len(a.Request.Tools) > 0 {
			what = "what the task " + a.task + " needs and what else is asked: " + strings.Join(parts, " and ")
		}
	}
	return what
}

func named(one, several string, names []string) string {
	if len(names) == 1 {
		return "the " + one + " " + names[0]
	}
	return "the " + several + " " + strings.Join(names, ", ")
}

func (a asked) toolNames() []string {
	out := []string{}
	for _, t := range a.tools {
		out = append(out, t.Asked)
	}
	return out
}

// selection tells of the first, and of why the others lost.
func (a asked) selection(found []judged) Selection {
	won := found[0]
	s := Selection{
		Image: won.manifest.Name, Version: won.manifest.Version, Reference: won.reference(a.Registry),
		Access: won.manifest.Access, Limits: won.manifest.Limits, SizeMB: won.sizeMB,
		Needs:        Needs{Task: a.task, Capabilities: append([]string{}, a.capabilities...), Tools: a.toolNames()},
		Alternatives: []Alternative{},
		Reason:       a.reason(found),
	}
	if won.registered != nil {
		s.Registered, s.Digest, s.Suite = true, won.registered.Digest, won.standing
	}
	for _, j := range found[1:] {
		s.Alternatives = append(s.Alternatives, Alternative{
			Image: j.manifest.Name, Version: j.manifest.Version, Reference: j.reference(a.Registry), SizeMB: j.sizeMB, Fits: j.fits(), Lost: lost(won, j),
		})
	}
	return s
}

func (a asked) reason(found []judged) string {
	won, others, alike := found[0], 0, 0
	for _, j := range found[1:] {
		if j.fits() {
			others++
			if j.preferred == won.preferred && j.mapped == won.mapped && j.meant == won.meant {
				alike++
			}
		}
	}
	var why []string
	if won.preferred < len(a.Prefer) {
		why = append(why, "preferred")
	}
	if won.mapped {
		why = append(why, "mapped to it in your catalog")
	}
	if won.meant {
		why = append(why, "meant for the task")
	}
	switch {
	case others == 0:
		why = append(why, "the only image with all of it")
	case alike == others:
		why = append(why, fmt.Sprintf("the smallest of the %d images with all of it", others+1))
	case alike > 0:
		why = append(why, fmt.Sprintf("the smallest of %d such images (%d have all of it)", alike+1, others+1))
	default:
		why = append(why, fmt.Sprintf("the only such image (%d have all of it)", others+1))
	}
	out := won.manifest.Name + " has " + a.what() + "; it is " + strings.Join(why, ", ")
	if won.registered != nil && won.standing != Conformant {
		out += "; the suite: " + string(won.standing)
	}
	return out
}

// lost says why an image was not selected. It names the first thing that decided.
func lost(won, j judged) string {
	switch {
	case !j.fits():
		return strings.Join(j.missing, "; ")
	case won.preferred < j.preferred:
		return "has all of it, but " + won.manifest.Name + " is preferred"
	case won.mapped && !j.mapped:
		return "has all of it, but " + won.manifest.Name + " is mapped to it in your catalog"
	case won.meant && !j.meant:
		return "has all of it, but is not meant for the task"
	case j.sizeMB == 0 && won.sizeMB != 0:
		return "has all of it, but its size is not known"
	case j.sizeMB > won.sizeMB:
		return fmt.Sprintf("has all of it, but is larger: %d MB, not %d", j.sizeMB, won.sizeMB)
	}
	return "has all of it, and the same size; " + won.manifest.Name + " has less besides"
}
