package execd

import (
	"sync"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// sightings remember whose a process was seen to be, as long as it lives: it may leave its session later.
type sightings struct {
	mu    sync.Mutex
	known map[sighting]*execution

	forgotten map[string]bool // by ID
	order     []string        // of forgotten, the oldest first
}

// mostForgotten bounds how many execs that were forgotten can be told from none.
const mostForgotten = 8 << 10

// sighting names one process for ever.
type sighting struct {
	pid   int
	start uint64
}

func newSightings() *sightings {
	return &sightings{known: map[sighting]*execution{}, forgotten: map[string]bool{}}
}

func (s *sightings) remember(p process.Proc, x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[sighting{p.PID, p.Start}] = x
}

func (s *sightings) of(p process.Proc) *execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[sighting{p.PID, p.Start}]
}

// prune forgets those that have ended.
func (s *sightings) prune(all map[int]process.Proc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.known {
		if p, ok := all[k.pid]; !ok || p.Start != k.start {
			delete(s.known, k)
		}
	}
}

// forget takes note that an exec is forgotten, whose processes may live on.
func (s *sightings) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgotten[id] {
		return
	}
	if len(s.order) == mostForgotten {
		delete(s.forgotten, s.order[0])
		s.order = append(s.order[:0], s.order[1:]...)
	}
	s.forgotten[id] = true
	s.order = append(s.order, id)
}

// forgot says whether there was an exec of that ID.
func (s *sightings) forgot(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forgotten[id]
}
