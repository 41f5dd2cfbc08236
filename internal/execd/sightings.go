package execd

import (
	"sync"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// sightings remember whose a process was seen to be, as long as it lives: it may leave its session later.
type sightings struct {
	mu    sync.Mutex
	known map[sighting]*execution
}

// sighting names one process for ever.
type sighting struct {
	pid   int
	start uint64
}

func newSightings() *sightings { return &sightings{known: map[sighting]*execution{}} }

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
