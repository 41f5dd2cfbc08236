package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Variable string // the variable, or "sandbox.conf line 3" for a line that sets none
	Value    string // as given, cut to 80 bytes; empty when it was not set
	Problem  string // what is wrong and what is allowed
}

func (m Mistake) String() string {
	if m.Value == "" {
		return m.Variable + ": " + m.Problem
	}
	return fmt.Sprintf("%s=%q: %s", m.Variable, m.Value, m.Problem)
}

// Error is every mistake in a configuration, in the order of Variables.
// The exit code that belongs to it is contract.ExitConfig.
type Error struct {
	Mistakes []Mistake
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration is wrong in %d place", len(e.Mistakes))
	if len(e.Mistakes) != 1 {
		b.WriteByte('s')
	}
	for _, m := range e.Mistakes {
		b.WriteString("; ")
		b.WriteString(m.String())
	}
	return b.String()
}

// shown cuts a value for a message: a log line is not the place for a megabyte.
func shown(value string) string {
	const most = 80
	if len(value) <= most {
		return value
	}
	return value[:most] + "..."
}
