package spec

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Version is one to four numbers, as "1.0.0", "3.11" or "20". Missing numbers
// count as 0, so that "1.0" and "1.0.0" compare equal.
type Version struct {
	text  string
	parts [4]int
}

// ParseVersion reads a version, with or without a leading "v". What follows the
// numbers ("2.47.3-1+deb13u1", "1.7.1rc1") is kept in the text and not compared.
func ParseVersion(text string) (Version, error) {
	v := Version{text: text}
	rest := strings.TrimPrefix(text, "v")
	for i := range v.parts {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(rest)
		}
		n, err := strconv.Atoi(rest[:end])
		if err != nil {
			if i == 0 {
				return Version{}, fmt.Errorf("%q is not a version: it must begin with a number, as 1.0.0", text)
			}
			break
		}
		v.parts[i] = n
		rest = rest[end:]
		if !strings.HasPrefix(rest, ".") {
			break
		}
		rest = rest[1:]
	}
	return v, nil
}

// Compare is negative when v is older than w, 0 when they are equal, else positive.
func (v Version) Compare(w Version) int {
	for i := range v.parts {
		if d := v.parts[i] - w.parts[i]; d != 0 {
			return d
		}
	}
	return 0
}

// Major is the first number.
func (v Version) Major() int { return v.parts[0] }

// String is the version as it was written.
func (v Version) String() string { return v.text }

// MarshalText gives the version as it was written.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText is ParseVersion.
func (v *Version) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVersion(string(text))
	return err
}

// UnmarshalYAML reads a version from a scalar, quoted or not: 1.0.0, "3.11".
func (v *Version) UnmarshalYAML(node *yaml.Node) error {
	return v.UnmarshalText([]byte(node.Value))
}
