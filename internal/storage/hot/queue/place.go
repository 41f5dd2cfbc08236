package queue

import "strings"

// places are the pending items, each where it is chosen from and where it holds others.
type places struct {
	rules Rules
	hurry bool
	items map[string]*item
	bytes int64

	// Each pending item that is not in flight is in one of these.
	waiting heap // not due yet, or failed a moment ago
	adding  heap // due writes of names that S3 does not hold
	over    heap // due writes of names that it holds
	bulk    heap // due writes that wait for others of their kind, see Rules.Bulk
	blocked heap // writes that wait for a delete
	deletes heap // due deletes

	hold      heap // pending writes, in flight or not, that hold deletes back
	newHold   heap // those of them that add an object
	stuckHold heap // those of them that cannot be stored for now
	age       heap // all that is expected to arrive
	stuck     heap // all that is not
	since     heap // both

	bulkFlying  int // jobs of writes that take long
	stuckFlying int // jobs of what could not be stored

	groups map[string]*heap // the pending members of each group, by first
	below  perDirectory     // pending deletes below each directory

	stuckBelow perDirectory // writes that are stuck below each directory

	spans spans            // of all writes that never reached S3
	gone  map[string]spans // of each group's members

	waiters map[string]map[*item]bool // of the items in blocked: by the delete, above it, that it waits for
}

func newPlaces(r Rules) places {
	return places{
		rules: r,
		items: map[string]*item{},
		below: perDirectory{}, stuckBelow: perDirectory{},
		groups:    map[string]*heap{},
		gone:      map[string]spans{},
		waiters:   map[string]map[*item]bool{},
		waiting:   heap{slot: slotQueue, less: byDue},
		adding:    heap{slot: slotQueue, less: byFirst},
		over:      heap{slot: slotQueue, less: byFirst},
		bulk:      heap{slot: slotQueue, less: byFirst},
		blocked:   heap{slot: slotQueue, less: byFirst},
		deletes:   heap{slot: slotQueue, less: byBarrier},
		hold:      heap{slot: slotHold, less: byFirst},
		newHold:   heap{slot: slotNew, less: byFirst},
		stuckHold: heap{slot: slotStuck, less: byFirst},
		age:       heap{slot: slotAge, less: byFirst},
		stuck:     heap{slot: slotAge, less: byFirst},
		since:     heap{slot: slotSince, less: bySince},
	}
}

// place puts an item where it belongs after any change to it.
func (p *places) place(it *item) {
	p.since.put(it)
	age, other := &p.age, &p.stuck
	if it.is(stuck) {
		age, other = other, age
	}
	if !age.has(it) {
		other.take(it)
	}
	age.put(it)
	tried := it.is(inFlight) // once more, and waited for meanwhile: see retry
	p.count(it, (it.kind == Delete || it.again == Delete || it.is(undone)) && (!it.is(stuck) || tried))
	p.countStuck(it, it.kind == Write && it.is(stuck))
	p.regroup(it)
	if it.is(stuck) && it.holds() {
		p.stuckHold.put(it)
	} else {
		p.stuckHold.take(it)
	}
	if it.is(inFlight) {
		if it.again == Write {
			p.hold.put(it) // a delete under way whose name is there again
		}
		return
	}
	p.newHold.take(it)
	if it.holds() {
		p.hold.put(it)
	} else {
		p.hold.take(it)
	}
	if it.is(noBarrier) {
		p.dequeue(it) // ObservedUpTo brings it in
		return
	}
	if above, waits := p.mustWait(it.name); waits && it.is(stuckWrite) {
		p.block(it, above) // what it waits for is tried again
		return
	}
	it.due = p.dueAt(it)
	p.enqueue(it, &p.waiting)
}

func (p *places) enqueue(it *item, to *heap) {
	if it.queue != to {
		p.dequeue(it)
	}
	it.queue = to
	to.put(it)
}

func (p *places) dequeue(it *item) {
	if it.queue == &p.blocked {
		if all := p.waiters[it.waitsFor]; len(all) > 1 {
			delete(all, it)
		} else {
			delete(p.waiters, it.waitsFor)
		}
	}
	if it.queue != nil {
		it.queue.take(it)
		it.queue = nil
	}
}

func (p *places) ageOf(it *item) *heap {
	if it.is(stuck) {
		return &p.stuck
	}
	return &p.age
}

func (p *places) dueAt(it *item) Time {
	if p.hurry {
		return it.notBefore
	}
	quiet := it.last + p.rules.Quiet
	if it.kind == Write {
		quiet = min(quiet, it.since+p.rules.MaxStaleness)
	}
	return max(quiet, it.notBefore)
}

// regroup makes an item a member of its group while its write is pending, and expected.
func (p *places) regroup(it *item) {
	if it.group == "" || it.is(stuck) || it.kind == Delete && it.again != Write {
		p.ungroup(it)
		return
	}
	g := p.groups[it.group]
	if g == nil {
		g = &heap{slot: slotGroup, less: byFirst}
		p.groups[it.group] = g
	}
	g.put(it)
}

func (p *places) ungroup(it *item) {
	if g := p.groups[it.group]; g != nil {
		if g.take(it); g.min() == nil {
			delete(p.groups, it.group)
		}
	}
}

// undelete takes an item out of what belongs to deletes.
func (p *places) undelete(it *item) {
	it.flags &^= noBarrier | doubted
	p.count(it, false)
}

// count registers a delete with the directories above it, so that a file that takes the
// place of one of them can tell that it has to wait (rule 4).
func (p *places) count(it *item, on bool) {
	if it.is(counted) == on {
		return
	}
	it.set(counted, on)
	p.below.count(it.name, on)
	if !on {
		p.unblock(it.name)
	}
}

// countStuck registers a write that is stuck with the directories above it, so that a delete that is tried again finds it.
func (p *places) countStuck(it *item, on bool) {
	if it.is(stuckWrite) != on {
		it.set(stuckWrite, on)
		p.stuckBelow.count(it.name, on)
	}
}

// perDirectory is how many names of a kind are below each directory.
type perDirectory map[string]int

func (n perDirectory) count(name string, on bool) {
	for dir := range ancestors(name) {
		if on {
			n[dir]++
		} else if n[dir]--; n[dir] == 0 {
			delete(n, dir)
		}
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
// directories has to be, or of anything below it where it has to be a file. above is the name of the former.
func (p *places) mustWait(name string) (above string, waits bool) {
	for dir := range ancestors(name) {
		if it := p.items[dir]; it != nil && it.is(counted) {
			return dir, true
		}
	}
	return "", p.below[name] > 0
}

// block lets a write wait for deletes, and hold none; above is what mustWait said.
func (p *places) block(it *item, above string) {
	p.hold.take(it)
	p.newHold.take(it)
	p.stuckHold.take(it)
	p.dequeue(it) // it may have waited for another one
	p.enqueue(it, &p.blocked)
	it.waitsFor = above
	if p.waiters[above] == nil {
		p.waiters[above] = map[*item]bool{}
	}
	p.waiters[above][it] = true
}

// Exclusive tells whether S3 is not to hold two names at once: a file, and what has to have
// a directory there. The write of one waits for the delete of the other.
func Exclusive(a, b string) bool { return isBelow(a, b) || isBelow(b, a) }

func isBelow(name, dir string) bool {
	return len(name) > len(dir) && name[len(dir)] == '/' && strings.HasPrefix(name, dir)
}

// unblock lets the writes look again that wait for the delete of name: those below it, and the files that are to
// have the name of a directory above it.
func (p *places) unblock(name string) {
	var free []*item
	for it := range p.waiters[name] {
		free = append(free, it)
	}
	for dir := range ancestors(name) {
		if it := p.items[dir]; it != nil && it.queue == &p.blocked {
			free = append(free, it)
		}
	}
	for _, it := range free {
		// A write that still has to wait may wait for another delete from now on, also for one above it that
		// was observed while it waited for those below it. That delete has to find it.
		if above, waits := p.mustWait(it.name); !waits || above != it.waitsFor {
			it.notBefore = 0 // what it was refused for, maybe, is gone
			p.place(it)
		}
	}
}

// resize keeps the sum of the dirty bytes.
func (p *places) resize(it *item, size int64) {
	p.bytes += size - it.size
	it.size = size
}

// maxDelay is how long a write that replaces an object gives way to those that add one.
func (p *places) maxDelay(it *item) Time { return it.since + p.rules.MaxStaleness }
