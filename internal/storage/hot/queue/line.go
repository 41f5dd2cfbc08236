package queue

// Rules are the line's times.
type Rules struct {
	Quiet        Time // a change goes when its name has been unchanged for this long
	MaxStaleness Time // and at the latest this long after it was observed
}

// Line is the set of pending changes. It is not safe for concurrent use.
type Line struct {
	rules Rules
	hurry bool
	held  bool
	seq   uint64

	items  map[string]*item
	flying int
	bytes  int64

	// Each pending item that is not in flight is in one of these.
	waiting heap // not due yet, or failed a moment ago
	adding  heap // due writes of names that S3 does not hold
	over    heap // due writes of names that it holds
	blocked heap // writes that wait for a delete
	deletes heap // due deletes

	hold    heap // pending writes, in flight or not, that hold deletes back
	newHold heap // those of them that add an object
	barred  heap // those of them that cannot be stored for now
	age     heap // all that is expected to arrive
	stuck   heap // all that is not
	since   heap // both

	fencing []*item          // deletes that have no fence yet
	groups  map[string]*heap // the pending members of each group, by first
	spans   spans            // of all
	gone    map[string]spans // of each group's members
	below   map[string]int   // directory -> number of pending deletes below it
}

// New returns an empty line.
func New(r Rules) *Line {
	return &Line{
		rules:   r,
		items:   map[string]*item{},
		below:   map[string]int{},
		groups:  map[string]*heap{},
		gone:    map[string]spans{},
		waiting: heap{slot: slotQueue, less: byDue},
		adding:  heap{slot: slotQueue, less: byFirst},
		over:    heap{slot: slotQueue, less: byFirst},
		blocked: heap{slot: slotQueue, less: byFirst},
		deletes: heap{slot: slotQueue, less: byFence},
		hold:    heap{slot: slotHold, less: byFirst},
		newHold: heap{slot: slotNew, less: byFirst},
		barred:  heap{slot: slotStuck, less: byFirst},
		age:     heap{slot: slotAge, less: byFirst},
		stuck:   heap{slot: slotAge, less: byFirst},
		since:   heap{slot: slotSince, less: bySince},
	}
}

// Order is what a write's place in the line depends on besides its time.
type Order struct {
	Exists bool   // S3 holds an older object of the name
	Group  string // it belongs to these, see GroupThrough; "" for none
	Anew   bool   // it has changed since it was observed last; else it may only be seen again
}

// Write says that the disk holds something at name that S3 may not hold.
func (l *Line) Write(name string, size int64, order Order, now Time) {
	l.seq++
	it := l.items[name]
	switch {
	case it == nil:
		it = &item{name: name, kind: Write, first: l.seq, since: now, last: now}
		l.items[name] = it
	case it.is(inFlight):
		l.observedAgain(it, Write, true, now)
		it.set(changed, order.Anew)
	case it.kind == Delete:
		// What waits for the deletion goes on waiting while S3 holds the object: the name may be
		// gone again, and only the telling of it be on its way.
		it.set(undone, order.Exists)
		it.flags &^= unfenced | doubted
		it.kind, it.first = Write, l.seq
	case it.is(stuck) && order.Anew:
		it.notBefore = 0 // rule 6
	}
	it.last = now
	l.resize(it, size)
	if !it.is(inFlight) {
		it.set(replaces, order.Exists)
	}
	it.group = order.Group
	l.place(it)
}

// Delete says that name is not on the disk any more, while S3 may hold it. ordered says
// that a deletion was observed at its place among all changes, not an absence.
func (l *Line) Delete(name string, ordered bool, now Time) {
	l.seq++
	it := l.items[name]
	switch {
	case it == nil:
		it = &item{name: name, since: now}
		l.items[name] = it
	case it.is(inFlight):
		l.observedAgain(it, Delete, ordered, now)
		return
	case it.is(doubted):
		l.Looked(name, now)
		return
	case it.kind == Delete:
		return // its fence is the first time that it was seen gone
	default:
		l.vanished(it, it.first, l.seq, ordered, now)
	}
	l.becomeDelete(it, l.seq, now)
}

// Looked says that the caller has looked at name since its job ended, see Done, and has said
// what it saw, if anything.
func (l *Line) Looked(name string, now Time) {
	if it := l.items[name]; it != nil && it.is(doubted) {
		it.set(doubted, false)
		it.last = now
	}
}

// Same says that the disk and S3 are known to agree about name: a file that is as it
// was when it was stored, or nothing on either side. ordered is as for Delete.
func (l *Line) Same(name string, exists, ordered bool, now Time) {
	it := l.items[name]
	if it == nil {
		return
	}
	l.seq++
	switch {
	case it.is(inFlight) && exists:
		l.observedAgain(it, Write, true, now) // the job may be changing S3: look again after it
	case it.is(inFlight):
		l.observedAgain(it, Delete, ordered, now)
	case it.kind == Write && !exists:
		l.vanished(it, it.first, l.seq, ordered, now)
		l.forget(it)
	default:
		l.forget(it)
	}
}

func (l *Line) observedAgain(it *item, kind Kind, ordered bool, now Time) {
	if it.again == 0 {
		it.againFirst, it.againSince = l.seq, now
	}
	it.again, it.againLast, it.last = kind, l.seq, now
	it.set(againUnordered, !ordered)
	l.place(it)
}

// becomeDelete leaves the fence open: the disk was looked at, and what it showed may be
// ahead of what has been observed (a rename whose new name is still to be seen).
func (l *Line) becomeDelete(it *item, first uint64, now Time) {
	it.kind, it.first, it.last, it.notBefore = Delete, first, now, 0 // rule 6
	it.set(stuck, false)
	it.set(undone, false)
	it.set(unfenced, true)
	l.resize(it, 0)
	l.fencing = append(l.fencing, it)
	l.place(it)
}

// Caught says that all that happened on the disk before at has been observed.
func (l *Line) Caught(at Time) {
	kept := l.fencing[:0]
	for _, it := range l.fencing {
		switch {
		case !it.is(unfenced): // it is something else meanwhile, or listed twice
		case it.is(doubted), it.last >= at:
			kept = append(kept, it)
		default:
			it.flags &^= unfenced
			it.fence = l.seq
			l.place(it)
		}
	}
	clear(l.fencing[len(kept):])
	l.fencing = kept
	l.closeSpans(at)
}

// Unobserved tells whether something waits for Caught: a deletion without a fence, or a span
// whose end is open. Done can leave one behind: a deletion that was seen again while it was
// on its way. Nothing happens on the disk then, so somebody has to see to it that the
// next Caught comes.
func (l *Line) Unobserved() bool {
	for _, it := range l.fencing {
		if it.is(unfenced) {
			return true
		}
	}
	n := len(l.spans)
	return n > 0 && l.spans[n-1].open
}

// forget ends an item: S3 agrees with the disk.
func (l *Line) forget(it *item) {
	l.undelete(it)
	l.resize(it, 0)
	l.dequeue(it)
	l.hold.take(it)
	l.newHold.take(it)
	l.barred.take(it)
	l.ungroup(it)
	l.ageOf(it).take(it)
	l.since.take(it)
	delete(l.items, it.name)
}

// resize keeps the sum of the dirty bytes.
func (l *Line) resize(it *item, size int64) {
	l.bytes += size - it.size
	it.size = size
}
