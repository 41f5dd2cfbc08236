package lifecycle

import (
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// unbound waits for the message that says whose sandbox this is. Everything that can be started without is: the
// storage process has made itself undumpable and waits for its configuration, the exec server refuses. bound is
// false when the sandbox ends here, with code.
func (s *sandbox) unbound() (code int, bound bool) {
	if s.stops > 0 {
		return 0, false
	}
	s.execd.start()
	s.storage.unbound = true
	if err := s.storage.start(); err != nil {
		s.log.Error("the sandbox cannot have a user", "event", "unbound_failed", "error", err.Error())
		return contract.ExitHydrate, false
	}
	s.waiting = true
	defer func() { s.waiting = false }()
	s.state.publish(func(st *contract.State) { st.Phase = contract.PhaseUnbound })
	s.log.Info("the sandbox waits for its user", "event", "unbound", "sandbox_id", s.Config.SandboxID, "socket", s.binder.path)
	for {
		switch e := s.next(never); {
		case e == evStop:
			return 0, false
		case e == evBound:
			// The answer comes last: what a client does then finds the sandbox bound.
			s.begin(true)
			s.accepted.answer(contract.BindAnswer{SandboxID: s.Config.SandboxID, UserID: s.Config.UserID})
			return 0, true
		case s.storage.deaths >= storageAttempts:
			s.log.Error("the sandbox cannot have a user: the storage process dies each time", "event", "unbound_failed", "deaths", s.storage.deaths)
			return contract.ExitHydrate, false
		}
	}
}

// bind decides on a message, and says whether the sandbox has become its user's.
func (s *sandbox) bind(r bindRequest) (bound bool) {
	answer := s.tryBind(r.Bind)
	if answer.Refused == "" {
		s.accepted = r
		return true
	}
	s.log.Warn("a bind is refused", "event", "bind_refused", "refused", answer.Refused, "reason", answer.Reason)
	if !s.Config.Unbound {
		answer.SandboxID, answer.UserID = s.Config.SandboxID, s.Config.UserID
	}
	r.answer(answer)
	return false
}

func (s *sandbox) tryBind(b contract.Bind) contract.BindAnswer {
	switch {
	case !s.Config.Unbound:
		return refuse(contract.BindBound, "the sandbox is bound already, as %s of user %q", s.Config.SandboxID, s.Config.UserID)
	case !s.waiting || s.stops > 0:
		return refuse(contract.BindStopping, "the sandbox stops")
	}
	next, err := s.boundBy(b)
	if err != nil {
		return refuse(contract.BindInvalid, "%v", err)
	}
	if err := checkUnused(s.Config); err != nil {
		return refuse(contract.BindUsed, "%v", err)
	}
	file, err := keepBind(s.Config.StateDir, b)
	if err != nil {
		return refuse(contract.BindFailed, "%v", err)
	}
	go s.syncBind(file)
	s.Options = next
	return contract.BindAnswer{}
}

// boundBy is what a message makes of this sandbox's options: those of a start with its values.
func (s *sandbox) boundBy(b contract.Bind) (Options, error) {
	next := s.Options
	cfg, environ, err := config.Bind(s.Environ, b, s.ConfigFile)
	if err != nil {
		return next, err
	}
	next.Config, next.Environ = cfg, environ
	if b.Command != nil {
		next.Command = b.Command
	}
	_, err = next.exposure()
	return next, err
}
