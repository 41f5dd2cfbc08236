package lifecycle

import (
	"syscall"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// event is something that a state may have to act on.
type event int

const (
	evDeadline event = iota
	evStop           // a SIGTERM or SIGINT; s.stops counts them
	evCommand        // the command has ended
	evHook           // the hook has ended; s.hookDone is how
	evDrained        // the drain is over; s.left is what remains
	evStorage        // the storage process's state has changed
	evExecd          // the exec server has ended
	evBound          // the sandbox has become its user's
)

// next waits for something that the present state may have to act on, until a
// deadline. The work that is the same in every state is done here: signals are forwarded, and
// the storage process is kept alive.
func (s *sandbox) next(deadline int64) event {
	for {
		// Events may come in any number, and the deadline is kept all the same.
		if now() >= deadline {
			return evDeadline
		}
		s.alarm.set(min(deadline, s.storage.due(), s.execd.due()))
		select {
		case sig := <-s.signals.C:
			if s.signal(sig) {
				return evStop
			}
		case s.status = <-done(s.command, !s.ended):
			s.ended = true
			return evCommand
		case s.hookDone = <-done(s.hook, true):
			s.hook = nil
			return evHook
		case s.left = <-s.drained:
			return evDrained
		case e := <-s.storage.incoming():
			if s.storage.take(e) {
				return evStorage
			}
		case status := <-s.storage.exited():
			if s.storage.gone(status) {
				return evStorage
			}
		case r := <-s.binder.incoming():
			if s.bind(r) {
				return evBound
			}
		case status := <-s.execd.exited():
			s.execd.gone(status)
			return evExecd
		case <-s.alarm.C:
			s.alarm.at = never // it has fired: arm it anew
			s.execd.restart()
			if s.storage.restart() {
				return evStorage
			}
		}
	}
}

// done is the child's channel, or nil, which never is ready.
func done(c *process.Child, wanted bool) <-chan process.Status {
	if c == nil || !wanted {
		return nil
	}
	return c.Done
}

// signal forwards a signal to the command unless it is a request to stop, and says whether it
// was one. A signal that comes before there is a command is dropped.
func (s *sandbox) signal(n syscall.Signal) (stop bool) {
	if n == syscall.SIGTERM || n == syscall.SIGINT {
		s.stops++
		if s.stops == 1 {
			s.stopSignal = n
			s.beginBudget()
		}
		s.log.Info("asked to stop", "event", "stop_requested", "signal", n.String(), "times", s.stops)
		return true
	}
	if s.command != nil && !s.ended {
		// It may have ended just now; there is no other process to tell.
		_ = s.command.Signal(n)
	}
	return false
}

// beginBudget starts the clock of the shutdown, once.
func (s *sandbox) beginBudget() {
	if s.budget.end == 0 {
		s.budget = newBudget(now(), s.Config.ShutdownTimeout)
	}
}
