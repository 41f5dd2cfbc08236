package process

import (
	"fmt"
	"log/slog"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stop ends every process of a Scope: a signal first, SIGKILL at a deadline. Run
// returns as soon as none is left. Processes are found by looking through /proc until
// nothing new appears, since those that were exec'd into the container are nobody's
// children, and are signalled and awaited through pidfds.
type Stop struct {
	Scope  Scope
	Log    *slog.Logger
	Now    func() int64 // ns, of the clock of the deadlines
	KillAt int64        // when SIGKILL follows

	// Patience is how long after SIGKILL to give up on what it has not ended, in ns.
	Patience int64

	// Command gets Signal in place of SIGTERM; nil: there is none.
	Command *Child
	Signal  syscall.Signal

	hurry   eventfd
	known   map[identity]*target
	watched int // targets with a pidfd
	killed  bool
	endAt   int64 // valid once killed
}

// identity names one process for ever: a number is reused, a number with its start is not.
type identity struct {
	pid   int
	start uint64
}

// target is a process that has been signalled.
type target struct {
	pidfd  int  // -1: not watched
	exempt bool // it may not be signalled: neither waited for nor signalled again
	gone   bool // it ended after the scan that saw it
}

// NewStop checks that Hurry can work; the fields are then the caller's to set before Run.
func NewStop() (*Stop, error) {
	wake, err := newEventfd()
	if err != nil {
		return nil, fmt.Errorf("cannot prepare to stop the processes: %w", err)
	}
	return &Stop{hurry: wake, known: map[identity]*target{}}, nil
}

// Hurry makes SIGKILL due now. It may be called from another goroutine, before Run too.
func (s *Stop) Hurry() { s.hurry.set() }

// Close gives back what NewStop took; neither Run nor Hurry may follow.
func (s *Stop) Close() { s.hurry.close() }

// maxIncomplete is how many scans in a row that found nothing, and may have missed a process, are
// followed by another one. As PID 1 the scans are complete as soon as nothing is left; elsewhere
// the processes of the whole machine come and go meanwhile.
const maxIncomplete = 100

// Run stops them all and returns those that could not be: they may not be signalled,
// or SIGKILL has not ended them. It must be called once.
func (s *Stop) Run() (left []Proc, err error) {
	defer s.prune(nil)
	for incomplete := 0; ; {
		living, complete, err := s.Scope.Living()
		if err != nil {
			return nil, err
		}
		s.prune(living)
		s.deadline(living)
		fresh, waiting, unwatched := s.signal(living)
		switch {
		case s.killed && s.Now() >= s.endAt:
			return living, nil
		case waiting > 0:
			incomplete = 0
			s.wait(fresh || unwatched)
		case complete && !fresh, incomplete == maxIncomplete:
			return living, nil
		default:
			incomplete++
			s.wait(true)
		}
	}
}

// deadline turns to SIGKILL when it is due.
func (s *Stop) deadline(living []Proc) {
	if s.killed || s.Now() < s.KillAt {
		return
	}
	s.killed = true
	s.endAt = s.Now() + s.Patience
	if len(living) > 0 {
		s.Log.Warn("processes are left and are killed", "event", "drain_kill", "count", len(living), "processes", Names(living))
	}
	if s.Command != nil {
		// The whole group in one step first: whoever forks in a loop does it there as a rule.
		_ = s.Command.SignalGroup(unix.SIGKILL)
	}
}

// signal sends what is due to each living process. It says whether one was new, how
// many there are to wait for, and whether any of those is without a pidfd.
func (s *Stop) signal(living []Proc) (fresh bool, waiting int, unwatched bool) {
	for _, p := range living {
		id := identity{p.PID, p.Start}
		t := s.known[id]
		if t == nil {
			fresh = true
			t = &target{pidfd: -1}
			s.known[id] = t
			s.send(p, t, s.first(p))
			if !s.killed {
				// A stopped process acts on nothing but SIGKILL until it is continued,
				// and one that runs may have been stopped since it was scanned.
				s.send(p, t, unix.SIGCONT)
			}
		} else if s.killed && !t.exempt {
			s.send(p, t, unix.SIGKILL)
		}
		if !t.exempt && !t.gone {
			waiting++
			unwatched = unwatched || t.pidfd < 0
		}
	}
	return fresh, waiting, unwatched
}

// first is what a process is sent when it is seen for the first time.
func (s *Stop) first(p Proc) syscall.Signal {
	switch {
	case s.killed:
		return unix.SIGKILL
	case s.Command != nil && p.PID == s.Command.PID:
		return s.Signal
	}
	return unix.SIGTERM
}

func (s *Stop) send(p Proc, t *target, sig syscall.Signal) {
	if t.pidfd < 0 && s.watched < maxWatched {
		s.watch(p, t)
	}
	var err error
	switch {
	case t.pidfd >= 0:
		err = unix.PidfdSendSignal(t.pidfd, sig, nil, 0)
	case same(p):
		// Too many to watch each, or a kernel without pidfds (before 5.3).
		err = unix.Kill(p.PID, sig)
	default:
		t.gone = true
	}
	if err == unix.EPERM && !t.exempt {
		t.exempt = true
		s.Log.Warn("a process may not be signalled and is not waited for", "event", "drain_eperm", "pid", p.PID, "comm", p.Comm)
	}
}

// watch opens a pidfd, unless the number is another process's by now.
func (s *Stop) watch(p Proc, t *target) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return
	}
	if !same(p) {
		unix.Close(fd)
		return
	}
	t.pidfd = fd
	s.watched++
}

func (s *Stop) unwatch(t *target) {
	if t.pidfd >= 0 {
		unix.Close(t.pidfd)
		t.pidfd = -1
		s.watched--
	}
}

// same says whether a process still is the one that was scanned.
func same(p Proc) bool {
	now, ok := stat(p.PID)
	return ok && now.Start == p.Start
}

// prune forgets those that have ended.
func (s *Stop) prune(living []Proc) {
	alive := make(map[identity]bool, len(living))
	for _, p := range living {
		alive[identity{p.PID, p.Start}] = true
	}
	for id, t := range s.known {
		if !alive[id] {
			s.unwatch(t)
			delete(s.known, id)
		}
	}
}

// Names lists processes for a log line: number and name of the first twenty.
func Names(list []Proc) []string {
	const most = 20
	var out []string
	for _, p := range list {
		if len(out) == most {
			return append(out, fmt.Sprintf("and %d more", len(list)-most))
		}
		out = append(out, fmt.Sprintf("%d (%s)", p.PID, p.Comm))
	}
	return out
}
