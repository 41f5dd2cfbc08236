package queue

// Next returns the job that is to go next, if any may go now. It is under way from
// then on, until Done.
func (l *Line) Next(now Time) (Job, bool) {
	l.promote(now)
	it := l.nextWrite(now)
	if d := l.nextDelete(); d != nil && (it == nil || d.first < it.first) {
		it = d
	}
	if it == nil {
		return Job{}, false
	}
	l.dequeue(it)
	it.flags |= inFlight
	l.flying++
	return Job{Name: it.name, Kind: it.kind, it: it}, true
}

// promote moves what has become due to where it is chosen from.
func (l *Line) promote(now Time) {
	for {
		it := l.waiting.min()
		if it == nil || it.due > now {
			return
		}
		switch {
		case it.kind == Delete:
			l.enqueue(it, &l.deletes)
		case l.mustWait(it.name):
			l.hold.take(it)
			l.barred.take(it)
			l.enqueue(it, &l.blocked)
		case it.is(replaces):
			l.enqueue(it, &l.over)
		default:
			l.enqueue(it, &l.adding)
			if !it.is(stuck) {
				l.newHold.put(it)
			}
		}
	}
}

func (l *Line) nextWrite(now Time) *item {
	add, over := l.adding.min(), l.over.min()
	if over != nil && over.first > oldest(&l.newHold) && now < l.patience(over) {
		over = nil
	}
	if add == nil || over != nil && over.first < add.first {
		return over
	}
	return add
}

// patience is how long a write that replaces an object gives way to those that add one.
func (l *Line) patience(it *item) Time { return it.since + l.rules.MaxStaleness }

func (l *Line) nextDelete() *item {
	it := l.deletes.min()
	if it == nil || l.held {
		return nil
	}
	l.prune()
	if !l.mayGo(it) {
		return nil // and the others' fences are not lower
	}
	// A write that waits for a delete holds all deletes back but the one that it waits for.
	// The oldest such write is served first, so that two of them cannot wait for each other.
	w := l.blocked.min()
	if w == nil || w.first > l.spans.bound(it.fence) {
		return it
	}
	return l.makeRoom(w)
}

// makeRoom returns a delete that w waits for and that may go. A file where one of w's
// directories has to be comes first: whatever goes before it could be held back by other
// writes that wait for that file as well, but as long as they do they hold nothing.
func (l *Line) makeRoom(w *item) *item {
	for dir := range ancestors(w.name) {
		if d := l.items[dir]; d != nil && d.is(counted) {
			if d.queue == &l.deletes && l.mayGo(d) {
				return d
			}
			return nil
		}
	}
	for _, d := range l.deletes.items {
		if isBelow(d.name, w.name) && l.mayGo(d) {
			return d
		}
	}
	return nil
}

// mayGo tells whether no write holds a delete back.
func (l *Line) mayGo(d *item) bool { return l.spans.bound(d.fence) < oldest(&l.hold) }

// Outcome is what became of a job.
type Outcome uint8

const (
	// Stored: S3 holds what the disk held when the job was returned by Next, or later.
	Stored Outcome = iota + 1
	// Retry: not stored, try again; until then it holds back what it held back.
	Retry
	// Stuck: it cannot be stored for now; try again, and hold back only what rule 5 says.
	Stuck
	// Changed: the disk is not what the job was made for (a file to write is gone, one to
	// delete is there); an observation that says so follows.
	Changed
)

// Done ends a job. A job that is not Stored may go again from retry on. Where Has says that
// a write has become a delete, the caller looks at the name once more and says so by Looked:
// that it is gone may have been seen, out of order, before the job read the disk.
func (l *Line) Done(j Job, o Outcome, retry, now Time) {
	it := j.it
	it.flags &^= inFlight
	l.flying--
	again, ordered := it.again, !it.is(againUnordered)
	it.again = 0
	it.flags &^= againUnordered
	if o == Stored && again == 0 {
		l.forget(it)
		return
	}
	stored := o == Stored
	if stored {
		it.flags &^= stuck | undone
		it.since, it.notBefore = it.againSince, 0
		it.set(replaces, it.kind == Write)
	} else {
		it.set(stuck, o == Stuck)
		it.notBefore = retry
		if o == Stuck && again == Write && it.is(changed) {
			it.notBefore = 0 // rule 6
		}
	}
	it.set(changed, false)
	switch {
	case again == Delete && it.kind == Write:
		from := it.first
		if stored {
			from = it.againFirst
		}
		l.vanished(it, from, it.againLast, ordered, now)
		l.becomeDelete(it, it.againLast, it.last)
		// The job may have read the disk later, and stored what was made anew meanwhile.
		it.set(doubted, !ordered)
		return
	case again == Delete && it.kind == Delete:
		// It may have been made anew and deleted again while the first deletion was on its way.
		l.vanished(it, it.againFirst, it.againLast, ordered, now)
		if stored {
			l.becomeDelete(it, it.againLast, it.last)
			return
		}
	case again == Write && it.kind == Delete:
		l.undelete(it)
		it.kind, it.first = Write, it.againFirst
		it.set(replaces, !stored)
	case again == Write && stored:
		it.first = it.againFirst
	}
	l.place(it)
}
