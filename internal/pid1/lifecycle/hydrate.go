package lifecycle

import (
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// hydrate brings the home to what S3 holds. ok is false when the sandbox ends here,
// with code.
func (s *sandbox) hydrate() (code int, ok bool) {
	if s.stops > 0 {
		return s.notRun(), false
	}
	s.state.update(func(st *contract.State) { st.Phase = contract.PhaseHydrate })
	if err := s.storage.begin(); err != nil {
		s.log.Error("cannot hydrate the workspace", "event", "hydrate_failed", "error", err.Error())
		return contract.ExitHydrate, false
	}
	// Storage keeps these itself and says more clearly what took so long.
	const grace = helloWithin + 10*time.Second
	deadline := now() + int64(s.Config.HydrateTimeout+s.Config.LeaseWait+grace)
	for {
		switch e := s.next(deadline); {
		case e == evStop:
			return s.stopHydrate(), false
		case e == evDeadline:
			s.log.Error("cannot hydrate the workspace: the storage process has not done it in time", "event", "hydrate_failed",
				"hint", "raise "+contract.EnvHydrateTimeout)
			return contract.ExitHydrate, false
		case s.storage.failed != nil:
			return s.storage.failed.Code, false
		case s.storage.deaths >= storageAttempts:
			s.log.Error("cannot hydrate the workspace: the storage process dies each time", "event", "hydrate_failed", "deaths", storageAttempts)
			return contract.ExitHydrate, false
		case s.storage.up && s.cold != coldAsked:
			if s.Config.Cold.Required && s.cold != coldServed {
				s.log.Error("the cold path is required and not available", "event", "cold_required", "reason", s.state.state.ColdReason)
				return s.abandon(), false
			}
			return 0, true
		}
	}
}

// storageAttempts is how often the storage process may die before the workspace is there.
const storageAttempts = 3

// stopHydrate ends a hydrate that is not wanted any more: storage leaves S3 as it is
// and gives the lease back.
func (s *sandbox) stopHydrate() int {
	if s.storage.said {
		s.storage.over = true
		s.storage.send(wire.Message{Stop: &wire.Deadline{Boottime: s.budget.flush}})
		for s.storage.flushed == nil && s.storage.child != nil {
			if s.next(s.budget.end) == evDeadline {
				s.log.Warn("the storage process has not stopped in time; its lease has to run out", "event", "stop_late")
				break
			}
		}
	}
	return s.notRun()
}

// abandon ends a sandbox that has hydrated and cannot run. Nothing has changed, and the
// flush finds that out and gives the lease back.
func (s *sandbox) abandon() int {
	s.beginBudget()
	return s.flush(contract.ExitHydrate)
}
