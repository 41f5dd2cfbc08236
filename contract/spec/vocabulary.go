package spec

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v4"

	"github.com/matrx/sandbox/contract"
)

// Vocabulary maps every name that a manifest may use to its probe.
type Vocabulary struct {
	Tools        map[string]Probe `yaml:"tools"`
	Capabilities map[string]Probe `yaml:"capabilities"`
}

// Probe is a small program whose result proves that a tool or a capability is there.
type Probe struct {
	Run    []string `yaml:"run"`    // the argument vector; no shell unless it is named
	Expect string   `yaml:"expect"` // a regular expression in multi-line mode on what it printed; empty: the exit code is enough
	Exit   int      `yaml:"exit"`   // the exit code that is expected
}

// Version finds the version in a probe's output: its expression's first group, ""
// when it has none.
func (p Probe) Version(output string) string {
	m := p.pattern().FindStringSubmatch(output)
	if len(m) < 2 {
		return ""
	}
	return m[1]
}

// Check says why a probe's result does not prove what it should; nil when it does.
func (p Probe) Check(exit int, output string) error {
	if exit != p.Exit {
		return fmt.Errorf("%q ended with exit code %d, want %d", p.Run, exit, p.Exit)
	}
	if !p.pattern().MatchString(output) {
		return fmt.Errorf("%q printed %q, which does not match %s", p.Run, truncate(output, 200), p.Expect)
	}
	return nil
}

func (p Probe) pattern() *regexp.Regexp { return regexp.MustCompile("(?m)" + p.Expect) }

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// CurrentVocabulary is the one that this module carries. It panics when the
// embedded file is not valid, which a test excludes.
func CurrentVocabulary() *Vocabulary {
	v, err := ParseVocabulary(contract.VocabularyYAML)
	if err != nil {
		panic(err)
	}
	return v
}

// ParseVocabulary reads a vocabulary and reports every mistake in it, joined.
func ParseVocabulary(data []byte) (*Vocabulary, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var v Vocabulary
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("cannot read the vocabulary: %w", err)
	}
	var errs []error
	check := func(kind string, probes map[string]Probe) {
		for name, p := range probes {
			if len(p.Run) == 0 {
				errs = append(errs, fmt.Errorf("%s %q has no probe: give the program in run", kind, name))
			}
			if _, err := regexp.Compile("(?m)" + p.Expect); err != nil {
				errs = append(errs, fmt.Errorf("%s %q: expect: %w", kind, name, err))
			}
		}
	}
	check("tool", v.Tools)
	check("capability", v.Capabilities)
	return &v, errors.Join(errs...)
}
