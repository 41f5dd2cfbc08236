package queue

import "math"

// Mark is the newest observation. See Through.
func (q *Queue) Mark() uint64 { return q.seq }

// Through tells whether all that was observed up to mark is in S3, but for what is stuck.
func (q *Queue) Through(mark uint64) bool {
	it := q.age.min()
	return it == nil || it.first > mark
}

// GroupThrough is Through for the members of one group, and for what took the place of
// those that vanished before they were in S3 (rule 3): a branch names objects that a repack
// has put into a pack meanwhile.
func (q *Queue) GroupThrough(group string, mark uint64) bool {
	mark = q.gone[group].bound(mark)
	g := q.groups[group]
	if g == nil {
		return mark != math.MaxUint64 // open: what took the place is still to be seen
	}
	return g.min().first > mark
}

// Wake is when Next may return a job although nothing else was called meanwhile.
func (q *Queue) Wake() (at Time, ok bool) {
	if it := q.waiting.min(); it != nil {
		at, ok = it.due, true
	}
	if it := q.over.min(); it != nil {
		if p := q.maxDelay(it); !ok || p < at {
			at, ok = p, true
		}
	}
	return at, ok
}

// Hurry makes everything due at once, what failed lately as well; or takes that back.
func (q *Queue) Hurry(on bool) {
	q.hurry = on
	waiting := append([]*item(nil), q.waiting.items...)
	for _, it := range waiting {
		if on {
			it.notBefore = 0
		}
		it.due = q.dueAt(it)
		q.waiting.put(it)
	}
}

// Retry makes a name that failed lately due as if it had not.
func (q *Queue) Retry(name string) {
	if it := q.items[name]; it != nil && !it.is(inFlight) {
		it.notBefore = 0
		q.place(it)
	}
}

// HoldDeletes keeps deletes from going, or lets them go again.
func (q *Queue) HoldDeletes(on bool) { q.held = on }

// Held is the number of pending changes that go only when something is done about what
// holds them: deletions while HoldDeletes keeps them, or while they wait for a write that cannot be
// stored; and the writes that wait for a deletion. It looks at every pending name.
func (q *Queue) Held() (n int) {
	stuckHold := oldest(&q.stuckHold)
	if !q.held && stuckHold == math.MaxUint64 {
		return 0
	}
	for _, it := range q.items {
		switch {
		case it.is(inFlight), it.is(stuck):
		case it.queue == &q.blocked, it.kind == Delete && (q.held || q.waitsFor(it, stuckHold)):
			n++
		}
	}
	return n
}

// HoldsAny tells whether HoldDeletes holds anything.
func (q *Queue) HoldsAny() bool { return q.held && len(q.deletes.items)+len(q.blocked.items) > 0 }

// HeldByStuck tells whether the deletion of a name waits for a write that cannot be stored.
func (q *Queue) HeldByStuck(name string) bool {
	it := q.items[name]
	return it != nil && it.kind == Delete && q.waitsFor(it, oldest(&q.stuckHold))
}

// waitsFor tells whether a delete waits for a write that was first observed at from.
func (p *places) waitsFor(d *item, from uint64) bool {
	return from != math.MaxUint64 && !d.is(noBarrier) && p.spans.bound(d.barrier) >= from
}

// Pending describes one name that S3 does not hold as the disk does.
type Pending struct {
	Name  string
	Kind  Kind
	Stuck bool
}

// Pending yields all of them, in no order.
func (q *Queue) Pending(yield func(Pending) bool) {
	for name, it := range q.items {
		kind := it.kind
		if it.again != 0 {
			kind = it.again
		}
		if !yield(Pending{name, kind, it.is(stuck)}) {
			return
		}
	}
}

// Len is the number of pending names.
func (q *Queue) Len() int { return len(q.items) }

// Bytes is the size of the pending names that are to be written.
func (q *Queue) Bytes() int64 { return q.bytes }

// InFlight is the number of jobs under way.
func (q *Queue) InFlight() int { return q.flying }

// StuckLen is the number of pending names that cannot be stored for now.
func (q *Queue) StuckLen() int { return len(q.stuck.items) }

// Oldest is when the oldest change that is not in S3 was observed.
func (q *Queue) Oldest() (since Time, ok bool) {
	if it := q.since.min(); it != nil {
		return it.since, true
	}
	return 0, false
}

// Has tells whether name is pending, and how.
func (q *Queue) Has(name string) (Kind, bool) {
	it := q.items[name]
	if it == nil {
		return 0, false
	}
	if it.again != 0 {
		return it.again, true
	}
	return it.kind, true
}

// Stuck tells whether name is pending and cannot be stored for now.
func (q *Queue) Stuck(name string) bool {
	it := q.items[name]
	return it != nil && it.is(stuck)
}

// Retrying tells whether something that could not be stored is being tried again.
func (q *Queue) Retrying() bool { return q.stuckFlying > 0 }

// Waits tells whether name is a write that waits for a delete.
func (q *Queue) Waits(name string) bool {
	it := q.items[name]
	return it != nil && it.queue == &q.blocked
}

// Untried tells whether the turn of something has come, Next permitting, that it has not returned yet: also of a delete
// that could not be stored and was held back until now.
func (q *Queue) Untried(now Time) bool {
	if it := q.waiting.min(); it != nil && it.due <= now {
		return true
	}
	d := q.nextDelete()
	return d != nil && d.is(stuck)
}

// Flying tells whether a job of name is under way.
func (q *Queue) Flying(name string) bool {
	it := q.items[name]
	return it != nil && it.is(inFlight)
}
