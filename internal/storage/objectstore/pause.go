package objectstore

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between attempts: a random time between nothing and a bound that doubles
// ("Exponential Backoff And Jitter", full jitter). A store that asks for patience starts higher.
const (
	pauseFirst     = 50 * time.Millisecond
	pauseThrottled = 400 * time.Millisecond
	pauseMost      = 5 * time.Second
)

type pause struct {
	deadline time.Time
	bound    time.Duration
}

func newPause(deadline time.Time) *pause { return &pause{deadline: deadline, bound: pauseFirst} }

// next is the time to wait; false when the deadline comes first. atLeast is the server's Retry-After.
func (p *pause) next(now time.Time, throttled bool, atLeast time.Duration) (time.Duration, bool) {
	if throttled {
		p.bound = max(p.bound, pauseThrottled)
	}
	d := rand.N(p.bound)
	p.bound = min(2*p.bound, pauseMost)
	left := p.deadline.Sub(now)
	if atLeast > 0 {
		d += atLeast
		return d, d < left
	}
	// Towards the end the pauses shrink: a store that comes back in time is not missed.
	return min(d, left/2), left > pauseFirst
}

func (p *pause) wait(ctx context.Context, throttled bool, atLeast time.Duration) bool {
	d, ok := p.next(time.Now(), throttled, atLeast)
	if !ok {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type patienceKey struct{}

// WithPatience bounds how long a call goes on trying what is passing, when that is less than the time that
// its context leaves. An answer that is on its way is waited for all the same.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// deadline is when a call gives up what is passing.
func (s *sender) deadline(ctx context.Context) time.Time {
	d, bounded := ctx.Deadline()
	patience, ok := ctx.Value(patienceKey{}).(time.Duration)
	if !ok {
		patience = s.options.Patience
	}
	if end := time.Now().Add(patience); !bounded || ok && end.Before(d) {
		return end
	}
	return d
}
