package conformance

import (
	"context"
	"fmt"
	"runtime/debug"
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

// schedule runs checks, each once, after those that it needs. Whoever asks first runs it,
// so that subtests and the program share one order without a queue: a requirement waits
// only for one that is being judged, and needs have no circle.
type schedule struct {
	tasks   map[string]*task
	newEnv  func(*Check) *Env
	timeout time.Duration // of one check
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
	env := s.newEnv(t.check)
	err := s.run(ctx, t.check, env)
	r.Took = time.Since(begin)
	r.Status, r.Reason, r.Remedy = judge(err)
	r.Evidence = env.evidence
	return r
}

// run bounds a check in time, and turns its panic into an error of that check alone.
func (s *schedule) run(ctx context.Context, c *Check, env *Env) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("the check did not end within %s", s.timeout))
	defer cancel()
	defer func() {
		env.close()
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v\n%s", p, debug.Stack())
		} else if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}()
	return c.Run(ctx, env)
}
