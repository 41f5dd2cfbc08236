package queue

// Next returns the job that is to go next, if any may go now. It is under way from
// then on, until Done.
func (q *Queue) Next(now Time) (Job, bool) {
	q.readmit()
	q.promote(now)
	it := q.nextWrite(now)
	for it != nil && q.mayNotGo(it) {
		it = q.nextWrite(now)
	}
	if d := q.nextDelete(); d != nil && (it == nil || d.first < it.first) {
		it = d
	}
	if it == nil {
		return Job{}, false
	}
	q.dequeue(it)
	it.flags |= inFlight
	q.flying++
	q.begin(it)
	return Job{Name: it.name, Kind: it.kind, it: it}, true
}

// promote moves what has become due to where it is chosen from.
func (q *Queue) promote(now Time) {
	for {
		it := q.waiting.min()
		if it == nil || it.due > now {
			return
		}
		above, waits := q.mustWait(it.name)
		switch {
		case it.kind == Delete:
			q.enqueue(it, &q.deletes)
			if it.is(stuck) {
				q.retry(it)
			}
		case waits:
			q.block(it, above)
		case it.is(replaces):
			q.enqueue(it, &q.over)
		default:
			q.enqueue(it, &q.adding)
			if !it.is(stuck) {
				q.newHold.put(it)
			}
		}
	}
}

// retry lets a delete that was refused be waited for again, from now until it has ended, by the writes that may have been
// refused because S3 holds its object: they would hold it back for ever, and it them.
func (p *places) retry(d *item) {
	p.count(d, true)
	var refused []*item
	for dir := range ancestors(d.name) {
		if it := p.items[dir]; it != nil {
			refused = append(refused, it)
		}
	}
	if p.stuckBelow[d.name] > 0 {
		for _, it := range p.stuck.items {
			if isBelow(it.name, d.name) {
				refused = append(refused, it)
			}
		}
	}
	for _, it := range refused {
		if it.is(stuckWrite) && !it.is(inFlight) {
			p.place(it)
		}
	}
}

// mayNotGo puts a write where it waits, if it has to: for its kind, or for a delete that is expected to arrive again since
// the write became due.
func (q *Queue) mayNotGo(it *item) bool {
	if above, waits := q.mustWait(it.name); waits {
		q.block(it, above)
		return true
	}
	if q.takes(it) {
		return false
	}
	q.enqueue(it, &q.bulk)
	return true
}

// takes tells whether a write may be under way beside those that are.
func (p *places) takes(it *item) bool {
	return p.rules.Bulk == 0 || it.size < p.rules.Bulk || p.bulkFlying < p.rules.BulkMost
}

// begin counts a job that takes long, or tries again what could not be stored.
func (p *places) begin(it *item) {
	if it.is(stuck) {
		p.stuckFlying++
	}
	if on := it.kind == Write && p.rules.Bulk > 0 && it.size >= p.rules.Bulk; on {
		it.set(bulky, true)
		p.bulkFlying++
	}
}

// end ends a job.
func (p *places) end(it *item) {
	if it.is(stuck) {
		p.stuckFlying--
	}
	if !it.is(bulky) {
		return
	}
	it.set(bulky, false)
	p.bulkFlying--
}

// readmit lets as many writes be chosen again that take long as may go now.
func (p *places) readmit() {
	for range p.rules.BulkMost - p.bulkFlying {
		if it := p.bulk.min(); it != nil {
			p.enqueue(it, &p.waiting) // promote brings it to its place
		}
	}
}

func (q *Queue) nextWrite(now Time) *item {
	add, over := q.adding.min(), q.over.min()
	if over != nil && over.first > oldest(&q.newHold) && now < q.maxDelay(over) {
		over = nil
	}
	if add == nil || over != nil && over.first < add.first {
		return over
	}
	return add
}

func (q *Queue) nextDelete() *item {
	it := q.deletes.min()
	if it == nil || q.held {
		return nil
	}
	q.prune()
	if !q.mayGo(it) {
		return nil // and the others' barriers are not lower
	}
	// A write that waits for a delete holds all deletes back but the one that it waits for.
	// The oldest such write is served first, so that two of them cannot wait for each other.
	w := q.blocked.min()
	if w == nil || w.first > q.spans.bound(it.barrier) {
		return it
	}
	return q.makeRoom(w)
}

// makeRoom returns a delete that w waits for and that may go. A file where one of w's
// directories has to be comes first: a delete that went before it could be held back by other
// writes that wait for that file as well, but as long as they do they hold nothing.
func (q *Queue) makeRoom(w *item) *item {
	for dir := range ancestors(w.name) {
		if d := q.items[dir]; d != nil && d.is(counted) {
			if d.queue == &q.deletes && q.mayGo(d) {
				return d
			}
			return nil
		}
	}
	for _, d := range q.deletes.items {
		if isBelow(d.name, w.name) && q.mayGo(d) {
			return d
		}
	}
	return nil
}

// mayGo tells whether no write holds a delete back.
func (p *places) mayGo(d *item) bool { return p.spans.bound(d.barrier) < oldest(&p.hold) }

// Outcome is what became of a job.
type Outcome uint8

const (
	// Stored: S3 holds what the disk held when the job was returned by Next, or later.
	Stored Outcome = iota + 1
	// Retry: not stored, try again; until then it holds back what it held back.
	Retry
	// Stuck: it cannot be stored for now; try again, and hold back only what rule 5 says.
	Stuck
	// Unstable: it never rests. As Stuck, but that it has changed is no reason to try it sooner.
	Unstable
	// Changed: the disk is not what the job was made for (a file to write is gone, one to
	// delete is there); an observation that says so follows.
	Changed
)

// Done ends a job. A job that is not Stored may go again from retry on. Where Has says that
// a write has become a delete, the caller looks at the name once more and says so by Rechecked:
// that it is gone may have been seen, out of order, before the job read the disk.
func (q *Queue) Done(j Job, o Outcome, retry, now Time) {
	it := j.it
	it.flags &^= inFlight
	q.flying--
	q.end(it)
	again, ordered := it.again, !it.is(againUnordered)
	it.again = 0
	it.flags &^= againUnordered
	if o == Stored && again == 0 {
		q.forget(it)
		return
	}
	stored := o == Stored
	if stored {
		it.flags &^= stuck | unstable | undone | onlyCopy | maybeGone
		it.since, it.notBefore = it.againSince, 0
		it.set(replaces, it.kind == Write)
	} else {
		it.set(stuck, o == Stuck || o == Unstable)
		it.set(unstable, o == Unstable)
		it.notBefore = retry
		if o == Stuck && again == Write && it.is(changed) {
			it.notBefore = 0 // rule 6
		}
		if it.kind == Delete && o != Changed {
			it.set(maybeGone, true)
		}
	}
	it.set(changed, false)
	switch {
	case again == Delete && it.kind == Write:
		from := it.first
		if stored {
			from = it.againFirst
		}
		q.vanished(it, from, it.againLast, ordered, now)
		q.becomeDelete(it, it.againLast, it.last)
		// The job may have read the disk later, and stored what was made anew meanwhile.
		it.set(doubted, !ordered)
		return
	case again == Delete && it.kind == Delete:
		// It may have been made anew and deleted again while the first deletion was on its way, refused or not.
		q.leave(it, it.againFirst, it.againLast, ordered, now)
		if stored {
			q.becomeDelete(it, it.againLast, it.last)
			return
		}
	case again == Write && it.kind == Delete:
		q.undelete(it)
		it.flags &^= stuck | unstable // what was refused is the deletion
		it.kind, it.first, it.notBefore = Write, it.againFirst, 0
		it.set(replaces, !stored && it.is(againReplaces) && !it.is(maybeGone))
	case again == Write && stored:
		it.first = it.againFirst
	}
	q.place(it)
}
