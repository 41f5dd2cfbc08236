package stores

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:generate sh -c "go run ./write >../../../docs/stores.md"

// caseNames are the names of the suite's cases, in its order.
func caseNames() []string {
	return []string{
		"an empty bucket", "a hostile tree", "17 MiB and 200 MiB", "renames, modes, deletions", "two sandboxes",
		"a killed sandbox is followed", "a foreign writer", "cold put, ls and get of 1,000", "wrong credentials", "a mistyped bucket",
	}
}

// prose is the document but for its tables, which stand where the marks are.
//
//go:embed stores.md.in
var prose string

// Document is docs/stores.md.
func Document() string {
	return strings.NewReplacer("@MATRIX@\n", matrix(), "@SERVERS@\n", servers()).Replace(prose)
}

func matrix() string {
	var b strings.Builder
	b.WriteString("| |")
	known := allServers()
	for _, s := range known {
		if s.Name != "other" {
			fmt.Fprintf(&b, " %s |", s.Name)
		}
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(known)) + "\n")
	for _, c := range caseNames() {
		fmt.Fprintf(&b, "| %s |", c)
		for _, s := range known {
			if s.Name != "other" {
				fmt.Fprintf(&b, " %s |", s.expected(c))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("| requests for the hostile tree, the start's and the probes' among them |")
	for _, s := range known {
		if s.Name != "other" {
			fmt.Fprintf(&b, " %d |", s.Tree.Requests)
		}
	}
	b.WriteString("\n| bytes of its content that were sent |")
	for _, s := range known {
		if s.Name != "other" {
			fmt.Fprintf(&b, " %d |", s.Tree.Bytes)
		}
	}
	return b.String() + "\n"
}

func servers() string {
	var b strings.Builder
	for _, s := range allServers() {
		if s.Name != "other" {
			module := ""
			if s.Module != "" {
				module = fmt.Sprintf(" (`%s`)", s.Module)
			}
			fmt.Fprintf(&b, "- %s: %s%s. %s\n", s.Name, s.Version, module, s.Notes)
		}
	}
	return b.String()
}

func (s Server) expected(name string) Result {
	if r, ok := s.Degraded[name]; ok {
		return r
	}
	return works
}
