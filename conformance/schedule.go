package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract/spec"
)

// task is one requirement on its way to a result.
type task struct {
	requirement spec.Requirement
	check       *Check
	skipped     string // why the caller does not want it; "" it is wanted

	once   sync.Once
	result Result
}

// schedule runs checks, each once, after those that it needs. The first caller that asks for a result
// runs the check, so that subtests and the program share one order without a queue: a requirement waits
// only for one that is being judged, and needs have no circle.
type schedule struct {
	tasks map[string]*task
	run   func(context.Context, *Check) (evidence []string, err error)
}

// result judges a requirement, its needs first.
func (s *schedule) result(ctx context.Context, id string) Result {
	t := s.tasks[id]
	t.once.Do(func() { t.result = s.judge(ctx, t) })
	return t.result
}

func (s *schedule) judge(ctx context.Context, t *task) Result {
	r := Result{Requirement: t.requirement, ID: t.requirement.ID, Level: t.requirement.Level, Text: t.requirement.Text}
	if t.skipped != "" {
		r.Status, r.Reason = Skipped, t.skipped
		return r
	}
	for _, need := range t.requirement.Needs {
		if _, ok := s.tasks[need]; !ok {
			continue // of another profile or a later contract version
		}
		switch needed := s.result(ctx, need); needed.Status {
		case Pass, Skipped:
		case NotSupported:
			r.Status, r.Reason = NotSupported, fmt.Sprintf("it needs %s, which is unsupported: %s", need, needed.Reason)
			return r
		default:
			r.Status, r.Reason = NotRun, fmt.Sprintf("it needs %s, whose status is %s", need, needed.Status)
			return r
		}
	}
	if t.check == nil {
		r.Status, r.Reason = Error, "the suite has no check for this requirement; use a suite as new as the contract"
		return r
	}
	begin := time.Now()
	evidence, err := s.run(ctx, t.check)
	r.Took, r.Evidence = time.Since(begin), evidence
	r.Status, r.Reason, r.Remedy = judge(err)
	return r
}
