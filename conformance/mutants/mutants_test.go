package mutants

import (
	"slices"
	"testing"

	"github.com/matrx/sandbox/contract/spec"
)

// Every MUST has a mutant: a check that cannot fail is no check.
func TestEveryMustHasAMutant(t *testing.T) {
	current := spec.Current()
	for _, r := range current.Requirements {
		if r.Level == spec.Must && !slices.ContainsFunc(All, func(m Mutant) bool { return m.Breaks == r.ID }) {
			t.Errorf("%s has no mutant", r.ID)
		}
	}
	for _, m := range All {
		for _, id := range append([]string{m.Breaks}, m.Also...) {
			if _, ok := current.Requirement(id); !ok {
				t.Errorf("the mutant %q names %s, which the contract does not have", m.Is, id)
			}
		}
	}
}
