package internal_test

import (
	"regexp"
	"testing"
)

// A comment names its subject: the process, the caller, the file. These words stand in the place of a name.
var nameless = regexp.MustCompile(`(?i)\b(somebody|anybody|everybody|nobody|whoever|whatever)\b`)

func TestCommentsNameTheirSubjects(t *testing.T) {
	seen := 0
	for _, f := range parseAll(t) {
		if f.name == "internal/prose_test.go" {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				seen++
				if word := nameless.FindString(c.Text); word != "" {
					t.Errorf("%s: %q is no subject: name the process, the caller or the file in %q", f.fset.Position(c.Pos()), word, c.Text)
				}
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d comments were read: this test does not see what it judges", seen)
	}
}
