package catalog

import (
	"strings"
	"testing"
)

func TestVersionRules(t *testing.T) {
	for _, tc := range []struct {
		rules, have string
		want        string // part of the reason; "" when it holds
	}{
		{"", "", ""}, // nothing is asked of the version
		{">=3.12", "3.13", ""},
		{">=3.12", "3.13.5", ""},
		{">=3.14", "3.13", "has x 3.13"},
		{">=3.13", "3.13", ""},
		{">=3.13.0", "3.13", ""},
		{">=3.13.5", "3.13", "does not settle"},
		{">=3.12.9", "3.13", ""},
		{">3.12", "3.12.9", "has x 3.12.9"}, // npm: >3.12 is 3.13 or later
		{">3.12", "3.13", ""},
		{"<=3.12", "3.12.9", ""},
		{"<3.13.0", "3.13", "has x 3.13"},
		{"<3.13.1", "3.13", "does not settle"},
		{"<4", "3.13", ""},
		{"=3.13", "3.13.5", ""},
		{"==3.1", "3.13", "has x 3.13"}, // by numbers, not by letters
		{"3.*", "3.13", ""},
		{"!=3.13", "3.13.5", "has x 3.13.5"},
		{"!=3.12", "3.13", ""},
		{">=3.11,<3.13", "3.13", "has x 3.13"},
		{">=3.11, <3.14", "3.13", ""},
		{"~=3.12", "3.13", ""},
		{"~=3.12.1", "3.13", "has x 3.13"},
		{"~3.12", "3.13", "has x 3.13"},
		{"^20.1", "20.19", ""},
		{"^20.1", "22.0", "has x 22.0"},
		{"^0.2.3", "0.3.0", "has x 0.3.0"},
		{"@22", "22.23.3", ""},
		{">=10", "9", "has x 9"},
		{">=3", "", "does not say"},
		{">=3", "unstable", "cannot be compared"},
	} {
		rules, err := parseRules(tc.rules)
		if err != nil {
			t.Errorf("%s: %v", tc.rules, err)
			continue
		}
		got := toolNeed{Tool: "x", Asked: "x" + tc.rules, rules: rules}.missing(tc.have)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s against %q: %q, want %q", tc.rules, tc.have, got, tc.want)
		}
	}
}

func TestVersionRulesRefuse(t *testing.T) {
	for rules, want := range map[string]string{
		">=": "not a version", ">=new": "not a version", "=>3": "no comparison", "~=3": "two numbers",
		">=1.2.3.4.5": "more than four", ">=+3": "not a version", "@latest": "not a version", ",": "not a version",
	} {
		if _, err := parseRules(rules); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something with %q", rules, err, want)
		}
	}
}

func TestNamesCarryVersions(t *testing.T) {
	for text, want := range map[string][2]string{
		"node22": {"node", "22"}, "python3.12": {"python", "3.12"}, "python-3.12": {"python", "3.12"}, "g++": {"g++", ""}, "22": {"22", ""}, "bash": {"bash", ""}, "a.1": {"a.1", ""},
	} {
		if name, digits := splitDigits(text); name != want[0] || digits != want[1] {
			t.Errorf("%s: %q and %q, want %q", text, name, digits, want)
		}
	}
}
