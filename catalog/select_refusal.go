package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Asked is what a part of a request asks for.
type Asked string

// What can be asked for.
const (
	AskedTask       Asked = "task"
	AskedRuntime    Asked = "runtime"
	AskedCapability Asked = "capability"
	AskedTool       Asked = "tool"
	AskedVariant    Asked = "variant"
	AskedPreferred  Asked = "preferred image"
	AskedTogether   Asked = "combination" // each is known, but no image has them all
	AskedNothing    Asked = "nothing"
)

// Refusal is a request that no image answers. Nothing is selected in its place.
type Refusal struct {
	Kind    Asked    `json:"kind"`
	Name    string   `json:"name,omitempty"`    // what was asked for
	Nearest []string `json:"nearest,omitempty"` // names that come close, or images that lack least
	Reason  string   `json:"reason"`
}

func (r *Refusal) Error() string { return r.Reason }

// unknown refuses a name that there is not.
func unknown(kind Asked, name string, there []string) *Refusal {
	r := &Refusal{Kind: kind, Name: name, Nearest: nearest(name, there)}
	r.Reason = fmt.Sprintf("there is no %s %q", kind, name)
	if kind == AskedCapability || kind == AskedTool || kind == AskedRuntime {
		r.Reason = fmt.Sprintf("no image has the %s %q", kind, name)
	}
	if len(r.Nearest) > 0 {
		r.Reason += "; the nearest are " + strings.Join(r.Nearest, ", ")
	}
	return r
}

// mostNear is how many names an error suggests.
const mostNear = 3

// nearest are the names with the smallest edit distance, the nearest first. One that holds
// all of the name, or is held by it, is near at any length.
func nearest(name string, there []string) []string {
	type near struct {
		name     string
		distance int
	}
	var all []near
	asked := plain(name)
	for _, t := range there {
		other := plain(t)
		d := distance(asked, other)
		if min(len(asked), len(other)) > 2 && (strings.Contains(asked, other) || strings.Contains(other, asked)) {
			d = min(d, 1)
		}
		all = append(all, near{t, d})
	}
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	all = slices.Compact(all)
	var out []string
	for _, n := range all[:min(len(all), mostNear)] {
		out = append(out, n.name)
	}
	return out
}

// plain takes away what people write in different ways: web-scraping, WebScraping.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// distance is the number of letters to add, take away, replace or swap with the next one
// (optimal string alignment, Damerau 1964).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		next := make([]int, len(t)+1)
		next[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(t)]
}

// Refusals are all that an error of Select refuses; none when it is of another kind.
func Refusals(err error) []*Refusal {
	var joined interface{ Unwrap() []error }
	if r, ok := errors.AsType[*Refusal](err); ok && !errors.As(err, &joined) {
		return []*Refusal{r}
	}
	var out []*Refusal
	if joined != nil {
		for _, e := range joined.Unwrap() {
			out = append(out, Refusals(e)...)
		}
	}
	return out
}
