package queue

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// join and boundOf are with and bound of a list that is gone through from its beginning: what the searches are
// compared with.
func join(all spans, s span) (joined spans) {
	var after spans
	for _, o := range all {
		switch {
		case !o.open && o.to < s.from:
			joined = append(joined, o)
		case !s.open && o.from > s.to:
			after = append(after, o)
		default:
			s = span{from: min(s.from, o.from), to: max(s.to, o.to), open: s.open || o.open, at: max(s.at, o.at)}
		}
	}
	return append(append(joined, s), after...)
}

func boundOf(all spans, seq uint64) uint64 {
	for _, s := range all {
		switch {
		case seq < s.from:
			return seq
		case s.open:
			return math.MaxUint64
		case seq <= s.to:
			return s.to
		}
	}
	return seq
}

func TestSpansAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all, want spans
		for seq := range rapid.Uint64Range(1, 30).Draw(t, "spans") {
			to := seq + rapid.Uint64Range(0, 3).Draw(t, "to")
			s := span{from: rapid.Uint64Range(seq/2, to).Draw(t, "from"), to: to, at: Time(seq)}
			s.open = rapid.IntRange(0, 9).Draw(t, "open") == 0
			all, want = all.with(s), join(want, s)
			if !slices.Equal(all, want) {
				t.Fatalf("%v with %v, want %v", all, s, want)
			}
			if rapid.Bool().Draw(t, "closed") {
				all.end(math.MaxInt64, to+1)
				want.end(math.MaxInt64, to+1)
			}
			at := rapid.Uint64Range(0, 40).Draw(t, "at")
			if got, want := all.bound(at), boundOf(want, at); got != want {
				t.Fatalf("the bound of %d in %v is %d, want %d", at, all, got, want)
			}
		}
	})
}
