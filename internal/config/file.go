package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds a line of sandbox.conf in bytes.
const maxLine = 64 << 10

// parseFile reads sandbox.conf: one KEY=VALUE a line, "#" starts a comment line,
// blanks around key and value are dropped, and so is one pair of quotes around the
// value. Nothing is expanded and nothing continues on the next line, so that a
// value says what it is. Only variables of the contract may be set: the file lies
// in the image, next to the binary that knows them, and an unknown name is a typo.
func parseFile(r io.Reader, known func(string) bool) (map[string]string, []Mistake) {
	values := map[string]string{}
	var wrong []Mistake
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		where := fmt.Sprintf("sandbox.conf line %d", n)
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch _, twice := values[key]; {
		case !ok:
			wrong = append(wrong, Mistake{where, shown(line), "a line is KEY=VALUE, a comment that starts with #, or empty"})
		case !known(key):
			wrong = append(wrong, Mistake{where, shown(key), "not a variable of sandbox-init; see the table in the README"})
		case twice:
			wrong = append(wrong, Mistake{where, shown(key), "set twice; keep one line"})
		default:
			values[key] = unquote(strings.TrimSpace(value))
		}
	}
	if err := lines.Err(); err != nil {
		problem := "cannot be read: " + err.Error()
		if errors.Is(err, bufio.ErrTooLong) {
			problem = fmt.Sprintf("a line is longer than %d bytes", maxLine)
		}
		wrong = append(wrong, Mistake{Variable: "sandbox.conf", Problem: problem})
	}
	return values, wrong
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}
