package ignore

import (
	"math/bits"
	"strings"
)

func (r *rule) matches(path, name string, isDir bool) bool {
	if r.dirOnly && !isDir {
		return false
	}
	text := name
	if r.wholePath {
		text = path
	}
	if r.suffix {
		return strings.HasSuffix(text, r.text)
	}
	return match(r.tokens, text)
}

// states is a set of positions in a list of tokens: i is in it when tokens[:i] can
// have matched what was read so far.
type states []uint64

func (s states) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s states) has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }

// match says whether the tokens match the whole of text.
func match(tokens []token, text string) bool {
	// Room for the usual rule without an allocation.
	var room [2][4]uint64
	now, next := states(room[0][:]), states(room[1][:])
	if words := len(tokens)/64 + 1; words > len(now) {
		now, next = make(states, words), make(states, words)
	}
	reach(tokens, now, 0)
	for k := range len(text) {
		clear(next)
		if !step(tokens, now, next, text[k]) {
			return false
		}
		now, next = next, now
	}
	return now.has(len(tokens))
}

// step reads one byte, and says whether any state is left.
func step(tokens []token, now, next states, c byte) bool {
	alive := false
	for w, word := range now {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			if i == len(tokens) {
				continue
			}
			to := -1
			switch t := &tokens[i]; t.kind {
			case literal:
				if c == t.c {
					to = i + 1
				}
			case one:
				if c != '/' {
					to = i + 1
				}
			case class:
				if t.set.has(c) {
					to = i + 1
				}
			case star:
				if c != '/' {
					to = i
				}
			case run:
				to = i
			}
			if to >= 0 {
				reach(tokens, next, to)
				alive = true
			}
		}
	}
	return alive
}

// reach adds state i and those that follow from it without reading anything.
func reach(tokens []token, s states, i int) {
	for !s.has(i) {
		s.add(i)
		if i == len(tokens) {
			return
		}
		switch tokens[i].kind {
		case dirs:
			reach(tokens, s, i+dirsLength)
			i++
		case star, run:
			i++
		default:
			return
		}
	}
}
