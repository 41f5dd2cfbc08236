package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract/spec"
	"github.com/matrx/sandbox/contract/verdict"
)

// With adds the user's tasks and images to an offer. What the suite has said of each image
// is looked up now, so that a run of it counts at once.
func (o *Offer) With(u *User) (*Offer, error) {
	out := &Offer{images: slices.Clone(o.images), tasks: maps.Clone(o.tasks), runtimes: o.runtimes}
	if out.tasks == nil {
		out.tasks = map[string]Task{}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(u.Tasks)) {
		if o.taskNamed(name) != "" {
			errs = append(errs, fmt.Errorf("your catalog: the task %q is one of the family's: give yours another name", name))
			continue
		}
		out.tasks[name] = u.Tasks[name]
	}
	for i := range u.Images {
		r := &u.Images[i]
		m, err := r.Parse()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		standing, err := r.Standing()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := candidate{manifest: m, sizeMB: r.SizeMB, registered: r, standing: standing}
		for _, t := range m.Tasks {
			if first := out.taskNamed(t); first != "" {
				c.meantFor = append(c.meantFor, first)
			}
		}
		out.images = append(out.images, c)
	}
	return out, errors.Join(errs...)
}

// Standing is what the suite has said of the image on this machine. A run for less than
// what its manifest promises, a smaller profile or an older contract, proves nothing of it.
func (r *Registered) Standing() (Standing, error) {
	dir, err := verdict.Dir()
	if err != nil {
		return Untested, nil //nolint:nilerr // without a home nothing was recorded
	}
	record, err := verdict.Find(dir, r.Digest)
	if errors.Is(err, verdict.ErrNone) {
		return Untested, nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell whether %s keeps the contract: %w", r.Reference, err)
	}
	m, err := r.Parse()
	if err != nil {
		return "", err
	}
	switch s := Standing(record.Verdict); s {
	case NotConformant, Partial:
		return s, nil
	case Conformant:
		if covers(record, m) {
			return s, nil
		}
	}
	return Untested, nil
}

// covers says whether a record proves what a manifest promises.
func covers(r verdict.Record, m *Manifest) bool {
	proven, err := spec.ParseVersion(r.Contract)
	if err != nil {
		return false
	}
	promised, err := spec.ParseVersion(m.Contract.Version)
	if err != nil || proven.Major() != promised.Major() || proven.Compare(promised) < 0 {
		return false
	}
	return r.Profile == m.Contract.Profile || spec.Current().Includes(r.Profile, m.Contract.Profile)
}

// Map checks that an image may be mapped to a task or a runtime, and gives the names by
// which the catalog knows them. A mapping never overrides truth: the image must have what
// the task needs, in the version that the runtime asks for.
func (o *Offer) Map(r *Registered, tasks, runtimes []string) (t, tools []string, err error) {
	m, err := r.Parse()
	if err != nil {
		return nil, nil, err
	}
	c := &candidate{manifest: m, registered: r, standing: Conformant}
	alone := &Offer{images: append(slices.Clone(o.images), *c), tasks: o.tasks, runtimes: o.runtimes}
	var errs []error
	check := func(what string, request Request) asked {
		a, err := alone.understand(request)
		if err != nil {
			errs = append(errs, err)
			return a
		}
		if j := a.judge(c); !j.fits() {
			errs = append(errs, fmt.Errorf("cannot map %s to %s: it %s", r.Reference, what, strings.Join(j.missing, "; ")))
		}
		return a
	}
	for _, name := range tasks {
		t = append(t, check("the task "+name, Request{Task: name}).task)
	}
	for _, name := range runtimes {
		tools = append(tools, check("the runtime "+name, Request{Runtime: name}).runtime)
	}
	slices.Sort(t)
	slices.Sort(tools)
	return slices.Compact(t), slices.Compact(tools), errors.Join(errs...)
}
