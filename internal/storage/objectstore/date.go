package objectstore

import (
	"net/http"
	"time"
)

// ServerDate is the latest Date that a response had: the server's clock, not later than now. The
// zero Unix time before there was one.
func (s *Store) ServerDate() time.Time { return time.Unix(s.date.Load(), 0) }

func (s *sender) sawDate(h http.Header) {
	t := date(h, "Date")
	if t.IsZero() {
		return
	}
	for {
		old := s.date.Load()
		if t.Unix() <= old || s.date.CompareAndSwap(old, t.Unix()) {
			return
		}
	}
}
