package storage

import (
	"sync"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// source is who has a problem. The first that has one is who PID 1 hears of: without the lease
// nothing else matters.
type source int

const (
	fromLease source = iota
	fromReclaim
	fromHot
	sources
)

// problems is what an operator should know, as State.Problem shows it.
type problems struct {
	mu   sync.Mutex
	each [sources]string
	told string
}

// mostProblem bounds a problem in bytes.
const mostProblem = 4 << 10

// reportProblem notes a problem; "" when it is over.
func (s *session) reportProblem(from source, problem string) {
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	s.problems.each[from] = problem
	first := ""
	for _, p := range s.problems.each {
		if p != "" {
			first = p[:min(len(p), mostProblem)]
			break
		}
	}
	if first == s.problems.told {
		return
	}
	s.problems.told = first
	_ = s.conn.Send(wire.Message{Problem: &wire.Problem{Message: first}}) // a failure is PID 1's end, which ends us
}

// leaseChanged is the lease's OnChange.
func (s *session) leaseChanged(st contract.LeaseStatus) { s.reportProblem(fromLease, st.Warning) }
