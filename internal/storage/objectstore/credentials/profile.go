package credentials

import (
	"bytes"
	"fmt"
	"strings"
)

// profiles are the sections of a file in the form that the AWS tools share ("Configuration and
// credential file settings in the AWS CLI"): name of the profile, name in lower case, value.
type profiles map[string]map[string]string

// broken is the name under which a section says what is wrong with it: it may be another's that is wrong.
const broken = ""

// parseProfiles reads "[profile]" sections of "name = value" lines, with # and ; comments. An error never has
// the line in it: it may be a secret.
func parseProfiles(content []byte) (profiles, error) {
	p := profiles{}
	var section map[string]string
	n := 0
	for line := range bytes.Lines(bytes.TrimPrefix(content, []byte("\ufeff"))) {
		n++
		l := strings.TrimSpace(string(line))
		if l == "" || l[0] == '#' || l[0] == ';' {
			continue
		}
		if l[0] == '[' {
			name, _, ok := strings.Cut(l[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d: a section without \"]\"", n)
			}
			name = strings.TrimSpace(name)
			if rest, ok := strings.CutPrefix(name, "profile "); ok {
				name = strings.TrimSpace(rest)
			}
			if section = p[name]; section == nil {
				section = map[string]string{}
				p[name] = section
			}
			continue
		}
		if section == nil {
			continue
		}
		name, value, ok := strings.Cut(l, "=")
		if !ok {
			section[broken] = fmt.Sprintf("line %d is no \"name = value\"", n)
			continue
		}
		section[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return p, nil
}
