package spec

import (
	"strings"
	"testing"
)

func TestVocabularyIsValid(t *testing.T) {
	v := CurrentVocabulary()
	for _, r := range Current().Requirements {
		if r.Command == nil {
			continue
		}
		if _, ok := v.Tools[r.Command.Name]; !ok {
			t.Errorf("%s asks for %s, which the vocabulary does not know", r.ID, r.Command.Name)
		}
	}
}

func TestVocabularyRefuses(t *testing.T) {
	for yaml, want := range map[string]string{
		"tools: {a: {expect: x}}":                    `tool "a" has no probe`,
		"capabilities: {a: {run: [a], expect: '('}}": `capability "a": expect`,
		"tools: {a: {runs: [a]}}":                    "runs",
	} {
		if _, err := ParseVocabulary([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something with %q", yaml, err, want)
		}
	}
}

func TestProbe(t *testing.T) {
	p := Probe{Run: []string{"tool", "--version"}, Expect: `^tool (\S+)`}
	if err := p.Check(0, "warning: x\ntool 1.2.3\n"); err != nil {
		t.Error(err)
	}
	if got := p.Version("warning: x\ntool 1.2.3\n"); got != "1.2.3" {
		t.Errorf("version %q", got)
	}
	if err := p.Check(1, "tool 1.2.3"); err == nil {
		t.Error("exit code 1 proves the tool")
	}
	if err := p.Check(0, "not it"); err == nil {
		t.Error("another output proves the tool")
	}
}
