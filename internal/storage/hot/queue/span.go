package queue

import (
	"cmp"
	"math"
	"slices"
)

// span is the life of writes that never reached S3 (rule 3), in sequence numbers.
type span struct {
	from, to uint64
	open     bool // what came before its end is not known before ObservedUpTo
	at       Time // when it ended
}

// spans are in ascending order and apart from each other. Only the last may be open.
type spans []span

// vanished leaves a span where a pending write ends, for deletes and for writes that wait
// for its group.
func (p *places) vanished(it *item, from, to uint64, ordered bool, now Time) {
	if !it.is(stuck) || it.holds() {
		p.leave(it, from, to, ordered, now)
	}
}

// leave leaves the span of a write of an item, which may be a delete again by now.
func (p *places) leave(it *item, from, to uint64, ordered bool, now Time) {
	s := span{from: from, to: to, open: !ordered, at: now}
	p.spans = p.spans.with(s)
	if it.group != "" {
		p.gone[it.group] = p.gone[it.group].with(s)
		p.pruneGroup(it.group)
	}
}

// Unseen says that something may have been written and be gone again without having been
// observed: in a directory, up to when it was watched. It leaves a span, of the group too.
func (q *Queue) Unseen(group string, now Time) {
	q.seq++
	s := span{from: q.seq, to: q.seq, open: true, at: now}
	q.spans = q.spans.with(s)
	if group != "" {
		q.gone[group] = q.gone[group].with(s)
	}
}

// with adds one, which swallows those that it overlaps. Most are added at the end.
func (all spans) with(s span) spans {
	from := all.find(s.from)
	to := len(all)
	if !s.open {
		to, _ = slices.BinarySearchFunc(all, s.to+1, func(o span, seq uint64) int { return cmp.Compare(o.from, seq) })
	}
	for _, o := range all[from:to] {
		s = span{from: min(s.from, o.from), to: max(s.to, o.to), open: s.open || o.open, at: max(s.at, o.at)}
	}
	return slices.Replace(all, from, to, s)
}

// find is the index of the first span that does not end before seq.
func (all spans) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(all, seq, func(o span, seq uint64) int {
		if !o.open && o.to < seq {
			return -1
		}
		return 1
	})
	return i
}

// closeSpans ends what is open when all that happened before it ended has been observed.
func (p *places) closeSpans(at Time, seq uint64) {
	p.spans.end(at, seq)
	p.prune()
	for group, gone := range p.gone {
		gone.end(at, seq)
		p.pruneGroup(group)
	}
}

func (all spans) end(at Time, seq uint64) {
	if n := len(all); n > 0 && all[n-1].open && all[n-1].at < at {
		all[n-1].open, all[n-1].to = false, seq
	}
}

// bound is what an observation counts as: the end of the span that it lies in.
func (all spans) bound(seq uint64) uint64 {
	i := all.find(seq)
	switch {
	case i == len(all) || seq < all[i].from:
		return seq
	case all[i].open:
		return math.MaxUint64
	}
	return all[i].to
}

// after drops the spans up to whose end nothing is pending: they hold nothing.
func (all spans) after(pending uint64) spans {
	n := 0
	for n < len(all) && !all[n].open && all[n].to < pending {
		n++
	}
	if n == len(all) {
		return nil
	}
	return all[n:]
}

func (p *places) prune() { p.spans = p.spans.after(min(oldest(&p.hold), oldest(&p.blocked))) }

func (p *places) pruneGroup(group string) {
	pending := uint64(math.MaxUint64)
	if g := p.groups[group]; g != nil {
		pending = oldest(g)
	}
	if p.gone[group] = p.gone[group].after(pending); p.gone[group] == nil {
		delete(p.gone, group)
	}
}

func oldest(h *heap) uint64 {
	if it := h.min(); it != nil {
		return it.first
	}
	return math.MaxUint64
}
