package objectstore

import "time"

// away is a time without an answer that was any good.
type away struct {
	since time.Time
	err   error
}

// Away says since when every attempt has failed in a passing way (no connection, 5xx, throttled),
// and how the last one did. The zero time: the last attempt that ended had an answer, or
// there was none yet. Calls go on trying meanwhile, for as long as Patience says.
func (s *Store) Away() (since time.Time, err error) {
	if a := s.away.Load(); a != nil {
		return a.since, a.err
	}
	return time.Time{}, nil
}

func (s *Store) answered() {
	if s.away.Load() != nil {
		s.away.Store(nil)
	}
}

func (s *Store) unanswered(err error) {
	a := &away{since: time.Now(), err: err}
	if before := s.away.Load(); before != nil {
		a.since = before.since
	}
	s.away.Store(a)
}
