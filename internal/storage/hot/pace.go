package hot

import (
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
)

// breaker keeps jobs from failing one by one while the store as a whole cannot be used: open,
// it lets one job at a time try, ever less often, until one succeeds. It opens when several
// distinct names have failed and none has been stored since: one name that fails may be the
// reason itself.
type breaker struct {
	err      error           // what the store fails with; nil while the breaker is closed
	suspects map[string]bool // the names that have failed since one was stored
	tries    int
	until    queue.Time
}

const (
	breakFirst, breakMost = 500 * time.Millisecond, 10 * time.Second

	// breakAfter is how many names have to fail.
	breakAfter = 3
)

// open tells whether no job may start now, and until when at most.
func (b *breaker) open(now queue.Time, flying int) (until queue.Time, open bool) {
	switch {
	case b.err == nil:
		return 0, false
	case flying > 0:
		return now + time.Hour, true // its end tells
	}
	return b.until, now < b.until
}

// fail notes that a name has failed, for a reason that is every name's by its nature (wide) or
// may be. It tells whether the breaker is open now.
func (b *breaker) fail(now queue.Time, name string, err error, wide bool) bool {
	if b.suspects == nil {
		b.suspects = map[string]bool{}
	}
	b.suspects[name] = true
	if b.err == nil && !wide && len(b.suspects) < breakAfter {
		return false
	}
	if b.err == nil || now >= b.until {
		b.until = now + backoff(breakFirst, breakMost, b.tries)
		b.tries++
	}
	b.err = err
	return true
}

func (b *breaker) succeed() { *b = breaker{} }

// limiter is how many jobs are under way at most. It grows while that makes the jobs end
// faster, and shrinks when it does not: latency wants many, a busy processor few.
type limiter struct {
	now  int
	up   bool
	rate float64
	n    int
	at   queue.Time
}

const (
	limitFirst, limitLeast, limitMost, limitStep = 64, 16, 192, 16

	// limitWindow is how many jobs are timed together.
	limitWindow = 256
)

func newLimiter() limiter { return limiter{now: limitFirst, up: true} }

// done counts a job that ended. enough: the store had enough.
func (l *limiter) done(now queue.Time, enough bool) {
	if enough {
		l.now = max(limitLeast, l.now/2)
		l.n, l.at, l.rate = 0, now, 0
		return
	}
	if l.n++; l.n < limitWindow {
		return
	}
	took := max(now-l.at, time.Millisecond)
	rate := float64(l.n) / took.Seconds()
	l.n, l.at = 0, now
	switch {
	case took > 20*time.Second: // there was not enough to do to tell anything
		return
	case l.rate == 0, rate > l.rate*1.05:
	case rate < l.rate*0.95:
		l.up = !l.up
	default:
		l.rate = max(l.rate, rate)
		return // neither better nor worse
	}
	l.rate = rate
	if l.up {
		l.now = min(l.now+limitStep, limitMost)
	} else {
		l.now = max(l.now-limitStep, limitLeast)
	}
}

// verifyQueue holds the files that are compared once more, when their times are old enough.
type verifyQueue struct {
	order  []string
	due    map[string]queue.Time
	flying map[string]bool
	hurry  bool
}

// verifyAfter is when a file's ctime is older than what package stable calls racy.
const verifyAfter = 1100 * time.Millisecond

func (q *verifyQueue) add(path string, now queue.Time) {
	if q.due == nil {
		q.due = map[string]queue.Time{}
	}
	if _, ok := q.due[path]; !ok {
		q.order = append(q.order, path)
	}
	q.due[path] = now + verifyAfter
}

// next takes a file whose time has come.
func (q *verifyQueue) next(now queue.Time) (string, bool) {
	for len(q.order) > 0 {
		path := q.order[0]
		due, ok := q.due[path]
		switch {
		case !ok:
		case due > now && !q.hurry:
			if len(q.order) > 1 && q.due[q.order[1]] < due {
				// It was put off; those behind it were not.
				q.order = append(q.order[1:], path)
				continue
			}
			return "", false
		default:
			q.order = q.order[1:]
			delete(q.due, path)
			if q.flying == nil {
				q.flying = map[string]bool{}
			}
			q.flying[path] = true
			return path, true
		}
		q.order = q.order[1:]
	}
	return "", false
}

func (q *verifyQueue) done(path string) { delete(q.flying, path) }

// all yields the files that are still to be compared.
func (q *verifyQueue) all(yield func(path string) bool) {
	for _, path := range q.order {
		if _, ok := q.due[path]; ok && !yield(path) {
			return
		}
	}
	for path := range q.flying {
		if !yield(path) {
			return
		}
	}
}

func (q *verifyQueue) wake() (queue.Time, bool) {
	if len(q.order) == 0 {
		return 0, false
	}
	return q.due[q.order[0]], true
}

func (q *verifyQueue) len() int { return len(q.order) + len(q.flying) }
