package stores

import (
	"os"
	"testing"
)

func TestDocumentIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../../docs/stores.md")
	if err != nil || string(got) != Document() {
		t.Errorf("docs/stores.md is not what make generate writes: %v", err)
	}
}

func TestExpectationsNameCases(t *testing.T) {
	known := map[string]bool{}
	for _, c := range caseNames() {
		known[c] = true
	}
	for _, s := range allServers() {
		for c := range s.Degraded {
			if !known[c] {
				t.Errorf("%s: there is no case %q", s.Name, c)
			}
		}
	}
}
