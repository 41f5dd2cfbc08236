package queue

import "strings"

// place puts an item where it belongs after any change to it.
func (q *Queue) place(it *item) {
	q.since.put(it)
	age, other := &q.age, &q.stuck
	if it.is(stuck) {
		age, other = other, age
	}
	if !age.has(it) {
		other.take(it)
	}
	age.put(it)
	q.count(it, (it.kind == Delete || it.again == Delete || it.is(undone)) && !it.is(stuck))
	q.regroup(it)
	if it.is(stuck) && it.holds() {
		q.stuckHold.put(it)
	} else {
		q.stuckHold.take(it)
	}
	if it.is(inFlight) {
		if it.again == Write && !it.is(stuck) {
			q.hold.put(it) // a delete under way whose name is there again
		}
		return
	}
	q.newHold.take(it)
	if it.holds() {
		q.hold.put(it)
	} else {
		q.hold.take(it)
	}
	if it.is(noBarrier) {
		q.dequeue(it) // ObservedUpTo brings it in
		return
	}
	it.due = q.dueAt(it)
	q.enqueue(it, &q.waiting)
}

func (q *Queue) enqueue(it *item, to *heap) {
	if it.queue != to {
		q.dequeue(it)
	}
	it.queue = to
	to.put(it)
}

func (q *Queue) dequeue(it *item) {
	if it.queue != nil {
		it.queue.take(it)
		it.queue = nil
	}
}

func (q *Queue) ageOf(it *item) *heap {
	if it.is(stuck) {
		return &q.stuck
	}
	return &q.age
}

func (q *Queue) dueAt(it *item) Time {
	if q.hurry {
		return it.notBefore
	}
	quiet := it.last + q.rules.Quiet
	if it.kind == Write {
		quiet = min(quiet, it.since+q.rules.MaxStaleness)
	}
	return max(quiet, it.notBefore)
}

// regroup makes an item a member of its group while its write is pending, and expected.
func (q *Queue) regroup(it *item) {
	if it.group == "" || it.is(stuck) || it.kind == Delete && it.again != Write {
		q.ungroup(it)
		return
	}
	g := q.groups[it.group]
	if g == nil {
		g = &heap{slot: slotGroup, less: byFirst}
		q.groups[it.group] = g
	}
	g.put(it)
}

func (q *Queue) ungroup(it *item) {
	if g := q.groups[it.group]; g != nil {
		if g.take(it); g.min() == nil {
			delete(q.groups, it.group)
		}
	}
}

// undelete takes an item out of what belongs to deletes.
func (q *Queue) undelete(it *item) {
	it.flags &^= noBarrier | doubted
	q.count(it, false)
}

// count registers a delete with the directories above it, so that a file that takes the
// place of one of them can tell that it has to wait (rule 4).
func (q *Queue) count(it *item, on bool) {
	if it.is(counted) == on {
		return
	}
	it.set(counted, on)
	for dir := range ancestors(it.name) {
		if on {
			q.below[dir]++
		} else if q.below[dir]--; q.below[dir] == 0 {
			delete(q.below, dir)
		}
	}
	if !on {
		q.unblock(it.name)
	}
}

// ancestors yields the directories above a name; a marker "d/" lies below "d".
func ancestors(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 1; i < len(name); i++ {
			if name[i] == '/' && !yield(name[:i]) {
				return
			}
		}
	}
}

// mustWait tells whether a write waits for a delete: of a file where one of its
// directories has to be, or of anything below it where it has to be a file.
func (q *Queue) mustWait(name string) bool {
	if q.below[name] > 0 {
		return true
	}
	for dir := range ancestors(name) {
		if it := q.items[dir]; it != nil && it.is(counted) {
			return true
		}
	}
	return false
}

// Exclusive tells whether S3 is not to hold two names at once: a file, and what has to have
// a directory there. The write of one waits for the delete of the other.
func Exclusive(a, b string) bool { return isBelow(a, b) || isBelow(b, a) }

func isBelow(name, dir string) bool {
	return len(name) > len(dir) && name[len(dir)] == '/' && strings.HasPrefix(name, dir)
}

// unblock lets the writes look again that wait for the delete of name.
func (q *Queue) unblock(name string) {
	var free []*item
	for _, it := range q.blocked.items {
		if Exclusive(it.name, name) && !q.mustWait(it.name) {
			free = append(free, it)
		}
	}
	for _, it := range free {
		q.place(it)
	}
}
