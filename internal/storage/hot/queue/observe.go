package queue

// Rules are the queue's times.
type Rules struct {
	Quiet        Time // a change goes when its name has been unchanged for this long
	MaxStaleness Time // and at the latest this long after it was observed

	// Bulk is the size from which a write takes long, BulkMost how many of those are under way at a time, so that others
	// do not wait for them. Bulk 0: none takes long.
	Bulk     int64
	BulkMost int
}

// Queue is the set of pending changes. It is not safe for concurrent use.
type Queue struct {
	places
	held   bool
	seq    uint64
	flying int

	awaiting []*item // deletes that have no barrier yet
}

// New returns an empty queue.
func New(r Rules) *Queue {
	return &Queue{places: newPlaces(r)}
}

// Order is what a write's place in the queue depends on besides its time.
type Order struct {
	Exists    bool   // S3 holds an older object of the name
	MaybeGone bool   // or nothing: a deletion of it was sent, and no answer came
	Group     string // it belongs to these, see GroupThrough; "" for none
	Anew      bool   // it has changed since it was observed last; else it may only be seen again
}

// Write says that the disk holds something at name that S3 may not hold.
func (q *Queue) Write(name string, size int64, order Order, now Time) {
	q.seq++
	it := q.items[name]
	switch {
	case it == nil:
		it = &item{name: name, kind: Write, first: q.seq, since: now, last: now}
		q.items[name] = it
	case it.is(inFlight):
		it.set(againReplaces, order.Exists)
		q.observedAgain(it, Write, true, now)
		it.set(changed, order.Anew)
	case it.kind == Delete:
		// What waits for the deletion goes on waiting while S3 holds the object: the name may be
		// gone again, and only the telling of it be on its way.
		it.set(undone, order.Exists)
		it.flags &^= noBarrier | doubted | stuck | unstable // what was refused is the deletion
		it.kind, it.first, it.notBefore = Write, q.seq, 0
	case it.is(stuck) && !it.is(unstable) && order.Anew:
		it.notBefore = 0 // rule 6
	}
	it.last = now
	q.resize(it, size)
	it.set(maybeGone, it.is(maybeGone) || order.MaybeGone)
	if !it.is(inFlight) {
		it.set(replaces, order.Exists && !it.is(maybeGone))
	}
	it.group = order.Group
	q.place(it)
}

// Delete says that name is not on the disk any more, while S3 may hold it. ordered says
// that a deletion was observed at its place among all changes, not an absence.
func (q *Queue) Delete(name string, ordered bool, now Time) {
	q.seq++
	it := q.items[name]
	switch {
	case it == nil:
		it = &item{name: name, since: now}
		q.items[name] = it
	case it.is(inFlight):
		q.observedAgain(it, Delete, ordered, now)
		return
	case it.is(doubted):
		q.Rechecked(name, now)
		return
	case it.kind == Delete:
		return // its barrier is the first time that it was seen gone
	default:
		q.vanished(it, it.first, q.seq, ordered, now)
	}
	q.becomeDelete(it, q.seq, now)
}

// OnlyCopy says whether the content of a pending write may be in S3 only under a name that is to be
// deleted. It holds deletions back then, though S3 has an older version of its own name (rule 5).
func (q *Queue) OnlyCopy(name string, on bool) {
	it := q.items[name]
	if it == nil || it.kind != Write || it.is(onlyCopy) == on {
		return
	}
	it.set(onlyCopy, on)
	q.place(it)
	if it.holds() && it.is(inFlight) {
		q.hold.put(it)
	}
}

// Rechecked says that the caller has looked at name since its job ended, see Done, and has said
// what it saw, if anything.
func (q *Queue) Rechecked(name string, now Time) {
	if it := q.items[name]; it != nil && it.is(doubted) {
		it.set(doubted, false)
		it.last = now
	}
}

// Same says that the disk and S3 are known to agree about name: a file that is as it
// was when it was stored, or nothing on either side. ordered is as for Delete.
func (q *Queue) Same(name string, exists, ordered bool, now Time) {
	it := q.items[name]
	if it == nil {
		return
	}
	q.seq++
	switch {
	case it.is(inFlight) && exists:
		it.set(againReplaces, true)
		q.observedAgain(it, Write, true, now) // the job may be changing S3: look again after it
	case it.is(inFlight):
		q.observedAgain(it, Delete, ordered, now)
	case it.kind == Write && !exists:
		q.vanished(it, it.first, q.seq, ordered, now)
		q.forget(it)
	default:
		q.forget(it)
	}
}

func (q *Queue) observedAgain(it *item, kind Kind, ordered bool, now Time) {
	if it.again == 0 {
		it.againFirst, it.againSince = q.seq, now
	}
	it.again, it.againLast, it.last = kind, q.seq, now
	it.set(againUnordered, !ordered)
	q.place(it)
}

// becomeDelete leaves the barrier open: the disk was looked at, and what it showed may be
// ahead of what has been observed (a rename whose new name is still to be seen).
func (q *Queue) becomeDelete(it *item, first uint64, now Time) {
	it.kind, it.first, it.last, it.notBefore = Delete, first, now, 0 // rule 6
	it.flags &^= stuck | unstable | onlyCopy
	it.set(undone, false)
	it.set(noBarrier, true)
	q.resize(it, 0)
	q.awaiting = append(q.awaiting, it)
	q.place(it)
}

// ObservedUpTo says that all that happened on the disk before at has been observed.
func (q *Queue) ObservedUpTo(at Time) {
	kept := q.awaiting[:0]
	for _, it := range q.awaiting {
		switch {
		case !it.is(noBarrier): // it is something else meanwhile, or listed twice
		case it.is(doubted), it.last >= at:
			kept = append(kept, it)
		default:
			it.flags &^= noBarrier
			it.barrier = q.seq
			q.place(it)
		}
	}
	clear(q.awaiting[len(kept):])
	q.awaiting = kept
	q.closeSpans(at, q.seq)
}

// Unobserved tells whether something waits for ObservedUpTo: a deletion without a barrier, or a span
// whose end is open. Done can leave one behind: a deletion that was seen again while it was
// on its way. Nothing happens on the disk then, so the caller has to see to it that the
// next ObservedUpTo comes.
func (q *Queue) Unobserved() bool {
	for _, it := range q.awaiting {
		if it.is(noBarrier) {
			return true
		}
	}
	n := len(q.spans)
	return n > 0 && q.spans[n-1].open
}

// forget ends an item: S3 agrees with the disk.
func (q *Queue) forget(it *item) {
	q.undelete(it)
	q.countStuck(it, false)
	q.resize(it, 0)
	q.dequeue(it)
	q.hold.take(it)
	q.newHold.take(it)
	q.stuckHold.take(it)
	q.ungroup(it)
	q.ageOf(it).take(it)
	q.since.take(it)
	delete(q.items, it.name)
}
