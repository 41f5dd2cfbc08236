package testbed

import (
	"regexp"
	"sync"
)

// Match picks requests. The zero Match picks all.
type Match struct {
	Verb   string // as Request.Verb
	Key    string // exactly this key
	Suffix string // keys that end so
	Regexp string // keys in which this is found
	Header string // requests that have this header field
}

func (m Match) matches(r *Request) bool {
	if m.Verb != "" && m.Verb != r.Verb || m.Key != "" && m.Key != r.Key {
		return false
	}
	if m.Suffix != "" && (len(r.Key) < len(m.Suffix) || r.Key[len(r.Key)-len(m.Suffix):] != m.Suffix) {
		return false
	}
	if m.Header != "" && r.Header.Get(m.Header) == "" {
		return false
	}
	return m.Regexp == "" || regexp.MustCompile(m.Regexp).MatchString(r.Key)
}

// Fault is what goes wrong, with which requests, how often.
type Fault struct {
	When  Match
	After int // requests that match and pass first
	Times int // requests that meet it; 0: all
	Do    Action
}

// Applied is a Fault at work.
type Applied struct {
	Fault
	mu      sync.Mutex
	seen    int
	hits    int
	removed bool
	done    chan struct{} // closed when the last of Times has met it
}

// Add puts a fault to work. A request that several match meets all of them.
func (p *FaultProxy) Add(f Fault) *Applied {
	a := &Applied{Fault: f, done: make(chan struct{})}
	p.mu.Lock()
	p.faults = append(p.faults, a)
	p.mu.Unlock()
	return a
}

// ClearFaults ends all faults, and lets go what their gates hold.
func (p *FaultProxy) ClearFaults() {
	p.mu.Lock()
	faults := p.faults
	p.faults, p.latency = nil, 0
	p.mu.Unlock()
	for _, f := range faults {
		f.Remove()
		if g, ok := f.Do.(*Gate); ok {
			g.Open()
		}
	}
}

// Remove ends the fault.
func (a *Applied) Remove() {
	a.mu.Lock()
	a.removed = true
	a.mu.Unlock()
}

// Hits is how many requests have met it.
func (a *Applied) Hits() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hits
}

// Done is closed when Times requests have met it.
func (a *Applied) Done() <-chan struct{} { return a.done }

func (a *Applied) take(r *Request) bool {
	if !a.When.matches(r) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen++
	if a.removed || a.seen <= a.After || a.Times > 0 && a.hits >= a.Times {
		return false
	}
	a.hits++
	if a.hits == a.Times {
		close(a.done)
	}
	return true
}
