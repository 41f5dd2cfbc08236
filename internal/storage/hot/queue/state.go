package queue

import (
	"math"
	"slices"
)

// Mark is the newest observation. See Through.
func (l *Line) Mark() uint64 { return l.seq }

// Through tells whether all that was observed up to mark is in S3, but for what is stuck.
func (l *Line) Through(mark uint64) bool {
	it := l.age.min()
	return it == nil || it.first > mark
}

// GroupThrough is Through for the members of one group, and for what took the place of
// those that vanished before they were in S3 (rule 3): a branch names objects that a repack
// has put into a pack meanwhile.
func (l *Line) GroupThrough(group string, mark uint64) bool {
	mark = l.gone[group].bound(mark)
	g := l.groups[group]
	if g == nil {
		return mark != math.MaxUint64 // open: what took the place is still to be seen
	}
	return g.min().first > mark
}

// Wake is when Next may return a job although nothing else was called meanwhile.
func (l *Line) Wake() (at Time, ok bool) {
	if it := l.waiting.min(); it != nil {
		at, ok = it.due, true
	}
	if it := l.over.min(); it != nil {
		if p := l.patience(it); !ok || p < at {
			at, ok = p, true
		}
	}
	return at, ok
}

// Hurry makes everything due at once, what failed lately as well; or takes that back.
func (l *Line) Hurry(on bool) {
	l.hurry = on
	waiting := append([]*item(nil), l.waiting.items...)
	for _, it := range waiting {
		if on {
			it.notBefore = 0
		}
		it.due = l.dueAt(it)
		l.waiting.put(it)
	}
}

// HoldDeletes keeps deletes from going, or lets them go again.
func (l *Line) HoldDeletes(on bool) { l.held = on }

// Held is the number of pending changes that go only when something is done about what
// holds them: deletions while HoldDeletes keeps them, or while they wait for a write that cannot be
// stored; and the writes that wait for a deletion. It looks at every pending name.
func (l *Line) Held() (n int) {
	barred := oldest(&l.barred)
	if !l.held && barred == math.MaxUint64 {
		return 0
	}
	for _, it := range l.items {
		switch {
		case it.is(inFlight), it.is(stuck):
		case it.queue == &l.blocked, it.kind == Delete && (l.held || l.waitsFor(it, barred)):
			n++
		}
	}
	return n
}

// Barred tells whether the deletion of a name waits for a write that cannot be stored.
func (l *Line) Barred(name string) bool {
	it := l.items[name]
	return it != nil && it.kind == Delete && l.waitsFor(it, oldest(&l.barred))
}

// waitsFor tells whether a delete waits for a write that was first observed at from.
func (l *Line) waitsFor(d *item, from uint64) bool {
	return from != math.MaxUint64 && !d.is(unfenced) && l.spans.bound(d.fence) >= from
}

// Pending describes one name that S3 does not hold as the disk does.
type Pending struct {
	Name  string
	Kind  Kind
	Stuck bool
}

// Pending yields all of them, in no order.
func (l *Line) Pending(yield func(Pending) bool) {
	for name, it := range l.items {
		kind := it.kind
		if it.again != 0 {
			kind = it.again
		}
		if !yield(Pending{name, kind, it.is(stuck)}) {
			return
		}
	}
}

// Len is the number of pending names, Bytes the size of those that are to be written,
// InFlight the number of jobs under way.
func (l *Line) Len() int      { return len(l.items) }
func (l *Line) Bytes() int64  { return l.bytes }
func (l *Line) InFlight() int { return l.flying }

// StuckLen is the number of pending names that cannot be stored for now.
func (l *Line) StuckLen() int { return len(l.stuck.items) }

// Oldest is when the oldest change that is not in S3 was observed.
func (l *Line) Oldest() (since Time, ok bool) {
	if it := l.since.min(); it != nil {
		return it.since, true
	}
	return 0, false
}

// Has tells whether name is pending, and how.
func (l *Line) Has(name string) (Kind, bool) {
	it := l.items[name]
	if it == nil {
		return 0, false
	}
	if it.again != 0 {
		return it.again, true
	}
	return it.kind, true
}

// Stuck tells whether name is pending and cannot be stored for now.
func (l *Line) Stuck(name string) bool {
	it := l.items[name]
	return it != nil && it.is(stuck)
}

// Retrying tells whether something that could not be stored is being tried again.
func (l *Line) Retrying() bool {
	return slices.ContainsFunc(l.stuck.items, func(it *item) bool { return it.is(inFlight) })
}

// Flying tells whether a job of name is under way.
func (l *Line) Flying(name string) bool {
	it := l.items[name]
	return it != nil && it.is(inFlight)
}
