package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/checks"
	"github.com/matrx/sandbox/contract/spec"
)

// fromManifest fills in what the caller left to the image. A manifest that cannot be read
// leaves the defaults: MAN-001 says what is wrong with it.
func (s *suite) fromManifest(ctx context.Context, o *Options) error {
	m, err := s.fixture.Manifest(ctx)
	if err != nil {
		m = &check.Manifest{}
	}
	if err := s.chooseParent(ctx, o, m); err != nil {
		return err
	}
	if err := s.chooseVersion(o, m); err != nil {
		return err
	}
	if o.Profile == "" {
		o.Profile = s.profileOf(ctx, o.Parent, m)
	}
	return nil
}

func (s *suite) chooseParent(ctx context.Context, o *Options, m *check.Manifest) error {
	if o.NoParent {
		o.Parent = ""
		return nil
	}
	if o.Parent == "" && m.ParentImage != nil {
		o.Parent = *m.ParentImage
	}
	if o.Parent == "" {
		return nil
	}
	if _, err := s.fixture.Engine.ImageID(ctx, o.Parent); err != nil {
		return fmt.Errorf("the parent is not available, and the checks of what the image kept need it: %w; "+
			"name it in Options.Parent (--parent), or set NoParent (--no-parent)", err)
	}
	return nil
}

// chooseVersion takes the version that the caller asks for, else the one that the image
// says it keeps: a requirement that is younger is not one that it promised.
func (s *suite) chooseVersion(o *Options, m *check.Manifest) error {
	newest := spec.Current().Version
	s.version = newest
	if o.Contract == "" {
		if v, err := spec.ParseVersion(m.Contract.Version); err == nil && v.Major() == newest.Major() && v.Compare(newest) < 0 {
			s.version = v
		}
		return nil
	}
	v, err := spec.ParseVersion(o.Contract)
	switch {
	case err != nil:
		return fmt.Errorf("Options.Contract (--contract): %w", err)
	case v.Compare(newest) > 0 || v.Major() != newest.Major():
		return fmt.Errorf("Options.Contract (--contract): this suite proves contract %d.0 to %s, not %s; use a suite as new as that contract", newest.Major(), newest, v)
	}
	s.version = v
	return nil
}

// profileOf is the profile that the image names, or its parent's where that promises more:
// an image cannot drop an inherited promise by not naming it.
func (s *suite) profileOf(ctx context.Context, parent string, m *check.Manifest) string {
	own := m.Contract.Profile
	if own == "" {
		own = "lifecycle"
	}
	if parent == "" {
		return own
	}
	p, err := check.ReadManifest(ctx, s.fixture.Engine, parent)
	if err == nil && spec.Current().Includes(p.Contract.Profile, own) {
		return p.Contract.Profile
	}
	return own
}

// plan lays out which requirements are judged by which check.
func (s *suite) plan(contractNow *spec.Spec) error {
	o := s.options
	requirements, err := contractNow.For(o.Profile, s.version)
	if err != nil {
		return err
	}
	byID := map[string]*Check{}
	for i := range checks.All {
		byID[checks.All[i].ID] = &checks.All[i]
	}
	for i := range o.Extra {
		requirements = append(requirements, o.Extra[i].Requirement)
		byID[o.Extra[i].Requirement.ID] = &o.Extra[i].Check
	}
	for i, file := range o.Checks {
		r, c, err := executable(i+1, file)
		if err != nil {
			return err
		}
		requirements = append(requirements, r)
		byID[r.ID] = c
	}
	limit := o.Timeout
	if limit == 0 {
		limit = 2 * time.Minute
	}
	s.schedule = &schedule{tasks: map[string]*task{}, run: func(ctx context.Context, c *Check) ([]string, error) {
		return s.fixture.Run(ctx, c, limit)
	}}
	wanted := closure(requirements, o.Only)
	for _, r := range requirements {
		t := &task{requirement: r, check: byID[r.ID]}
		switch {
		case slices.Contains(o.Skip, r.ID):
			t.skipped = "the caller skipped it"
		case wanted != nil && !wanted[r.ID]:
			t.skipped = "the caller asked for others only"
		case len(o.Features) > 0 && !slices.ContainsFunc(r.Features, func(f string) bool { return slices.Contains(o.Features, f) }):
			t.skipped = "the caller asked for other features only"
		}
		s.schedule.tasks[r.ID] = t
		s.order = append(s.order, r.ID)
	}
	for _, name := range o.Features {
		if known := features(requirements); !slices.Contains(known, name) {
			return fmt.Errorf("Options.Features (--feature): nothing in profile %s of contract %s belongs to %q; there are %q", o.Profile, s.version, name, known)
		}
	}
	for _, id := range slices.Concat(o.Only, o.Skip) {
		if s.schedule.tasks[id] == nil {
			return fmt.Errorf("Options.Only or Skip (--only, --skip): there is no requirement %s in profile %s of contract %s", id, o.Profile, s.version)
		}
	}
	return nil
}

// closure is ids with all that they need; nil when ids is empty.
func closure(requirements []spec.Requirement, ids []string) map[string]bool {
	if len(ids) == 0 {
		return nil
	}
	needs := map[string][]string{}
	for _, r := range requirements {
		needs[r.ID] = r.Needs
	}
	out := map[string]bool{}
	var add func(string)
	add = func(id string) {
		if !out[id] {
			out[id] = true
			for _, need := range needs[id] {
				add(need)
			}
		}
	}
	for _, id := range ids {
		add(id)
	}
	return out
}

// features are all that requirements belong to.
func features(requirements []spec.Requirement) []string {
	var out []string
	for _, r := range requirements {
		out = append(out, r.Features...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
