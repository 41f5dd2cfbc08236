package checks_test

import (
	"slices"
	"testing"

	"github.com/matrx/sandbox/conformance/checks"
	"github.com/matrx/sandbox/contract/spec"
)

// Every requirement of the contract has exactly one check, and no check is left over.
func TestChecksAreTheContracts(t *testing.T) {
	var ids []string
	for _, c := range checks.All {
		if slices.Contains(ids, c.ID) {
			t.Errorf("%s has two checks", c.ID)
		}
		ids = append(ids, c.ID)
	}
	for _, r := range spec.Current().Requirements {
		i := slices.Index(ids, r.ID)
		if i < 0 {
			t.Errorf("%s has no check", r.ID)
			continue
		}
		ids = slices.Delete(ids, i, i+1)
	}
	if len(ids) > 0 {
		t.Errorf("checks without a requirement: %q", ids)
	}
}
