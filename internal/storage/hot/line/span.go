package line

import "math"

// span is the life of writes that never reached S3 (rule 3), in sequence numbers.
type span struct {
	from, to uint64
	open     bool // what came before its end is not known before Caught
	at       Time // when it ended
}

// vanished leaves a span where a pending write ends.
func (l *Line) vanished(it *item, from, to uint64, ordered bool, now Time) {
	if it.is(stuck) {
		return // it held nothing back
	}
	s := span{from: from, to: to, open: !ordered, at: now}
	kept := l.spans[:0]
	var after []span
	for _, o := range l.spans {
		switch {
		case !o.open && o.to < s.from:
			kept = append(kept, o)
		case !s.open && o.from > s.to:
			after = append(after, o)
		default:
			s = span{from: min(s.from, o.from), to: max(s.to, o.to), open: s.open || o.open, at: max(s.at, o.at)}
		}
	}
	l.spans = append(append(kept, s), after...)
}

// closeSpans ends the open one (there is at most one, the last) when all that
// happened before it ended has been observed.
func (l *Line) closeSpans(at Time) {
	if n := len(l.spans); n > 0 && l.spans[n-1].open && l.spans[n-1].at < at {
		l.spans[n-1].open, l.spans[n-1].to = false, l.seq
	}
	l.prune()
}

// bound is what a fence counts as: the end of the span that it lies in.
func (l *Line) bound(fence uint64) uint64 {
	for _, s := range l.spans {
		switch {
		case fence < s.from:
			return fence
		case s.open:
			return math.MaxUint64
		case fence <= s.to:
			return s.to
		}
	}
	return fence
}

// prune drops the spans up to whose end no write is pending: they hold nothing.
func (l *Line) prune() {
	pending := min(oldest(&l.hold), oldest(&l.blocked))
	n := 0
	for n < len(l.spans) && !l.spans[n].open && l.spans[n].to < pending {
		n++
	}
	l.spans = l.spans[n:]
	if len(l.spans) == 0 {
		l.spans = nil
	}
}

func oldest(h *heap) uint64 {
	if it := h.min(); it != nil {
		return it.first
	}
	return math.MaxUint64
}
