package objectstore

import (
	"errors"
	"sync"
	"time"
)

// away is a time without an answer that was any good.
type away struct {
	mu    sync.Mutex
	since time.Time
	err   error
}

// Away says since when every attempt has failed in a passing way (no connection, 5xx, throttled),
// and how the last one did. The zero time: the last attempt that ended had an answer, a refusal
// included, or there was none yet. Calls go on trying meanwhile, for as long as Patience says.
func (s *Store) Away() (since time.Time, err error) {
	s.away.mu.Lock()
	defer s.away.mu.Unlock()
	return s.away.since, s.away.err
}

// attempted takes note of how an attempt went.
func (s *sender) attempted(next outcome, err error) {
	passing := err != nil && (next == again || next == throttled)
	if e, ok := errors.AsType[*Error](err); err != nil && !passing && (!ok || e.Status == 0) {
		return // the store was not asked, or the caller did not wait for the answer
	}
	s.away.mu.Lock()
	defer s.away.mu.Unlock()
	if !passing {
		s.away.since, s.away.err = time.Time{}, nil
		return
	}
	if s.away.err == nil {
		s.away.since = time.Now()
	}
	s.away.err = err
}
