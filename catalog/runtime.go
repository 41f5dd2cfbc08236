package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A runtime, and a tool, is asked for with or without a version, in the ways that pip,
// npm and people write it:
//
//	python  python3  python3.12  python>=3.12  python>=3.11,<3.14  python~=3.12
//	node  node22  node@22  node^20.1  npm  bash  zsh
//
// Versions are numbers; one with fewer of them stands for all that begin with it, on
// either side: python3.12 is any 3.12.x, and an image that says python3 "3.13" has some
// 3.13.x. So >3.12 is 3.13 or later, and <=3.12 includes 3.12.9 (as in npm, "X-Ranges").
// What an image's version is not exact enough to settle does not hold.

// toolNeed is a tool that is asked for, with what its version must be.
type toolNeed struct {
	Tool  string
	Asked string // as it was asked for
	rules []versionRule
}

// versionRule is one comparison with a version.
type versionRule struct {
	op   string // = != > >= < <=
	want []int
}

const operators = "<>=!~^@"

// splitNeed separates a name from the rules behind it. g++ and gcc-14 are names.
func splitNeed(text string) (name, rules string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, operators+" "); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// splitDigits separates the version that is written onto a name: node22, python3.12.
func splitDigits(name string) (string, string) {
	base := strings.TrimRight(name, "0123456789.")
	if base == "" || base == name {
		return name, ""
	}
	digits := name[len(base):]
	if strings.HasPrefix(digits, ".") {
		return name, ""
	}
	return strings.TrimSuffix(base, "-"), digits
}

// parseRules reads ">=3.11,<3.14"; "" is none.
func parseRules(text string) ([]versionRule, error) {
	var out []versionRule
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		version := strings.TrimLeft(part, operators)
		op := part[:len(part)-len(version)]
		version = strings.TrimSpace(version)
		for _, any := range []string{".*", ".x"} { // 3.* is 3
			version = strings.TrimSuffix(version, any)
		}
		want, err := parseNumbers(version)
		if err != nil {
			return nil, err
		}
		switch op {
		case "", "=", "==", "===", "@":
			out = append(out, versionRule{"=", want})
		case "!=", ">", ">=", "<", "<=":
			out = append(out, versionRule{op, want})
		case "~=": // PEP 440, "Compatible release"
			if len(want) < 2 {
				return nil, fmt.Errorf("~=%s needs two numbers or more, as ~=3.12", version)
			}
			out = append(out, versionRule{">=", want}, versionRule{"=", want[:len(want)-1]})
		case "~": // npm, "Tilde Ranges"
			out = append(out, versionRule{">=", want}, versionRule{"=", want[:min(len(want), 2)]})
		case "^": // npm, "Caret Ranges": up to the first number that is not 0
			fixed := 1 + max(0, slices.IndexFunc(want, func(n int) bool { return n != 0 }))
			out = append(out, versionRule{">=", want}, versionRule{"=", want[:fixed]})
		default:
			return nil, fmt.Errorf("%q is no comparison; there are = != > >= < <= ~= ~ ^", op)
		}
	}
	return out, nil
}

// parseNumbers reads "3", "3.13", "v22.1.0": one to four numbers and nothing else.
func parseNumbers(text string) ([]int, error) {
	parts := strings.Split(strings.TrimPrefix(text, "v"), ".")
	if len(parts) > 4 {
		return nil, fmt.Errorf("%q is not a version: it has more than four numbers", text)
	}
	var out []int
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || p[0] < '0' || p[0] > '9' {
			return nil, fmt.Errorf("%q is not a version of numbers, as 3.12", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// answer is what a version says to a rule.
type answer int

const (
	no answer = iota
	unsettled
	yes
)

// holds asks a rule of a version.
func (r versionRule) holds(have []int) answer {
	order := slices.Compare(have[:min(len(have), len(r.want))], r.want[:min(len(have), len(r.want))])
	if order == 0 && len(have) < len(r.want) {
		// 3.13 against 3.13.5: it can be any 3.13.x. Against 3.13.0 it is at least that.
		atLeast := !slices.ContainsFunc(r.want[len(have):], func(n int) bool { return n != 0 })
		switch {
		case atLeast && r.op == ">=":
			return yes
		case atLeast && r.op == "<":
			return no
		}
		return unsettled
	}
	ok := false
	switch r.op {
	case "=":
		ok = order == 0
	case "!=":
		ok = order != 0
	case ">":
		ok = order > 0
	case ">=":
		ok = order >= 0
	case "<":
		ok = order < 0
	case "<=":
		ok = order <= 0
	}
	if ok {
		return yes
	}
	return no
}

// missing says why a version does not do; "" when it does. have is "" where the image
// does not say its version.
func (n toolNeed) missing(have string) string {
	if len(n.rules) == 0 {
		return ""
	}
	if have == "" {
		return fmt.Sprintf("does not say the version of its %s (%s was asked)", n.Tool, n.Asked)
	}
	numbers, err := parseNumbers(have)
	if err != nil {
		return fmt.Sprintf("says a version of its %s that cannot be compared, %q (%s was asked)", n.Tool, have, n.Asked)
	}
	for _, r := range n.rules {
		switch r.holds(numbers) {
		case no:
			return fmt.Sprintf("has %s %s (%s was asked)", n.Tool, have, n.Asked)
		case unsettled:
			return fmt.Sprintf("says that its %s is %s, which does not settle %s", n.Tool, have, n.Asked)
		}
	}
	return ""
}
