package ignore

import (
	"errors"
	"strings"
)

// Why a line can never match.
var (
	errBracket   = errors.New(`"[" without its "]", or a class like [:alpha:] that is none: it matches nothing`)
	errBackslash = errors.New(`a backslash at the end: it matches nothing`)
)

// rule is one line. Without tokens its text is compared as it is.
type rule struct {
	text      string // without wildcards: what is to be equal, or the end of the name
	tokens    []token
	negated   bool
	dirOnly   bool
	wholePath bool // compared with the path from the top, else with the name alone
	suffix    bool // "*text"
}

// parse reads one line without its newline. ok is false for what is no rule: an empty
// line, a comment.
func parse(line string) (r rule, ok bool, err error) {
	if line == "" || line[0] == '#' {
		return rule{}, false, nil
	}
	p := trimSpaces(line)
	p, r.negated = strings.CutPrefix(p, "!")
	p, r.dirOnly = strings.CutSuffix(p, "/")
	r.wholePath = strings.Contains(p, "/")
	p = strings.TrimPrefix(p, "/") // one: a second makes a path that none is
	if p == "" {
		return rule{}, false, nil
	}
	if !strings.ContainsAny(p, `*?[\`) {
		r.text = p
		return r, true, nil
	}
	if rest := p[1:]; p[0] == '*' && rest != "" && !r.wholePath && !strings.ContainsAny(rest, `*?[\`) {
		r.text, r.suffix = rest, true
		return r, true, nil
	}
	r.tokens, err = compile(p, r.wholePath)
	return r, err == nil, err
}

// trimSpaces takes off the spaces at the end that no backslash keeps.
func trimSpaces(s string) string {
	end := 0
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			end = i + 1
		} else if s[i] != ' ' {
			end = i + 1
		}
	}
	return s[:end]
}

type kind uint8

const (
	literal kind = iota // the byte c
	one                 // "?": any byte but a slash
	class               // "[...]": a byte of set, never a slash
	star                // "*": any bytes but slashes
	run                 // "**": any bytes
	dirs                // "**/": nothing, or the run and the slash that follow
)

type token struct {
	kind kind
	c    byte
	set  *byteSet
}

// dirsLength is how many tokens "**/" is: dirs, run and the slash.
const dirsLength = 3

func compile(p string, wholePath bool) ([]token, error) {
	var ts []token
	for i := 0; i < len(p); {
		switch p[i] {
		case '\\':
			if i+1 == len(p) {
				return nil, errBackslash
			}
			ts = append(ts, token{c: p[i+1]})
			i += 2
		case '?':
			ts = append(ts, token{kind: one})
			i++
		case '[':
			set, n, err := bracket(p[i:])
			if err != nil {
				return nil, err
			}
			ts = append(ts, token{kind: class, set: set})
			i += n
		case '*':
			end := i
			for end < len(p) && p[end] == '*' {
				end++
			}
			ts = append(ts, stars(p, i, end, wholePath)...)
			if ts[len(ts)-1].kind == literal { // the slash of "**/" is among them
				end++
			}
			i = end
		default:
			ts = append(ts, token{c: p[i]})
			i++
		}
	}
	return ts, nil
}

// stars compiles the run of stars p[from:to]. Two or more have their meaning only as a
// whole component; elsewhere they are one.
func stars(p string, from, to int, wholePath bool) []token {
	rest := p[to:]
	whole := wholePath && to-from >= 2 && (from == 0 || p[from-1] == '/') &&
		(rest == "" || rest[0] == '/' || strings.HasPrefix(rest, `\/`))
	switch {
	case !whole:
		return []token{{kind: star}}
	case rest != "" && rest[0] == '/':
		return []token{{kind: dirs}, {kind: run}, {c: '/'}}
	default:
		return []token{{kind: run}}
	}
}
