package run

import "time"

// Step is a part of what lies between the call of Run and a container that runs.
type Step struct {
	Name string
	Took time.Duration
}

// steps tells how long each step took, one after the other. The zero one tells nothing.
type steps struct {
	to    func(Step)
	since time.Time
}

// done says that the step of that name is over and the next one begins.
func (s *steps) done(name string) {
	if s.to == nil {
		return
	}
	now := time.Now()
	s.to(Step{name, now.Sub(s.since)})
	s.since = now
}
