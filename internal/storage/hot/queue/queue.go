package queue

import "strings"

// place puts an item where it belongs after any change to it.
func (l *Line) place(it *item) {
	l.since.put(it)
	age, other := &l.age, &l.stuck
	if it.is(stuck) {
		age, other = other, age
	}
	if !age.has(it) {
		other.take(it)
	}
	age.put(it)
	l.count(it, (it.kind == Delete || it.again == Delete || it.is(undone)) && !it.is(stuck))
	l.regroup(it)
	if it.is(stuck) && it.holds() {
		l.barred.put(it)
	} else {
		l.barred.take(it)
	}
	if it.is(inFlight) {
		if it.again == Write && !it.is(stuck) {
			l.hold.put(it) // a delete under way whose name is there again
		}
		return
	}
	l.newHold.take(it)
	if it.holds() {
		l.hold.put(it)
	} else {
		l.hold.take(it)
	}
	if it.is(unfenced) {
		l.dequeue(it) // Caught brings it in
		return
	}
	it.due = l.dueAt(it)
	l.enqueue(it, &l.waiting)
}

func (l *Line) enqueue(it *item, q *heap) {
	if it.queue != q {
		l.dequeue(it)
	}
	it.queue = q
	q.put(it)
}

func (l *Line) dequeue(it *item) {
	if it.queue != nil {
		it.queue.take(it)
		it.queue = nil
	}
}

func (l *Line) ageOf(it *item) *heap {
	if it.is(stuck) {
		return &l.stuck
	}
	return &l.age
}

func (l *Line) dueAt(it *item) Time {
	if l.hurry {
		return it.notBefore
	}
	quiet := it.last + l.rules.Quiet
	if it.kind == Write {
		quiet = min(quiet, it.since+l.rules.MaxStaleness)
	}
	return max(quiet, it.notBefore)
}

// regroup makes an item a member of its group while its write is pending, and expected.
func (l *Line) regroup(it *item) {
	if it.group == "" || it.is(stuck) || it.kind == Delete && it.again != Write {
		l.ungroup(it)
		return
	}
	g := l.groups[it.group]
	if g == nil {
		g = &heap{slot: slotGroup, less: byFirst}
		l.groups[it.group] = g
	}
	g.put(it)
}

func (l *Line) ungroup(it *item) {
	if g := l.groups[it.group]; g != nil {
		if g.take(it); g.min() == nil {
			delete(l.groups, it.group)
		}
	}
}

// undelete takes an item out of what belongs to deletes.
func (l *Line) undelete(it *item) {
	it.flags &^= unfenced | doubted
	l.count(it, false)
}

// count registers a delete with the directories above it, so that a file that takes the
// place of one of them can tell that it has to wait (rule 4).
func (l *Line) count(it *item, on bool) {
	if it.is(counted) == on {
		return
	}
	it.set(counted, on)
	for dir := range ancestors(it.name) {
		if on {
			l.below[dir]++
		} else if l.below[dir]--; l.below[dir] == 0 {
			delete(l.below, dir)
		}
	}
	if !on {
		l.unblock(it.name)
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
func (l *Line) mustWait(name string) bool {
	if l.below[name] > 0 {
		return true
	}
	for dir := range ancestors(name) {
		if it := l.items[dir]; it != nil && it.is(counted) {
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
func (l *Line) unblock(name string) {
	var free []*item
	for _, it := range l.blocked.items {
		if Exclusive(it.name, name) && !l.mustWait(it.name) {
			free = append(free, it)
		}
	}
	for _, it := range free {
		l.place(it)
	}
}
