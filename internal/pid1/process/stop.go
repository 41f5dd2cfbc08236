package process

import (
	"fmt"
	"log/slog"
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stop ends every process of a Set. Those that are there when Run begins get a signal, once.
// What starts later is their cleanup (a git push or a tar that a trap runs) and is left to end by
// itself. At the deadline all that is left gets SIGKILL. Run returns as soon as nothing is
// left.
//
// Processes are found by scanning /proc, since those that were exec'd into the container have
// no parent in it, and are signalled and awaited through pidfds.
type Stop struct {
	Scope  Set
	Log    *slog.Logger
	Now    func() int64 // ns, of the clock of the deadlines
	KillAt int64        // when SIGKILL follows

	// Patience is how long after SIGKILL to give up on processes that it has not ended, in ns.
	Patience int64

	// Command gets Signal in place of SIGTERM; nil: there is none.
	Command *Child
	Signal  syscall.Signal

	hurry   eventfd
	known   map[identity]*target
	watched int    // targets with a pidfd
	began   uint64 // when the first scan was over, in the ticks of Proc.Start; until then the largest
	killed  bool
	endAt   int64 // valid once killed
}

// Set is the processes that a Stop ends. A Scope is one.
type Set interface {
	// Living lists those that have not ended; complete is false when one may be missing.
	Living() (living []Proc, complete bool, err error)
}

var _ Set = Scope{}

// identity names one process for ever: a number is reused, a number with its start is not.
type identity struct {
	pid   int
	start uint64
}

// target is a process that a scan has found.
type target struct {
	pidfd  int  // -1: not watched
	told   bool // it has been sent its signal
	exempt bool // it may not be signalled: neither waited for nor signalled again
	gone   bool // it ended after the scan that saw it
}

// NewStop checks that Hurry can work; the fields are then the caller's to set before Run.
func NewStop() (*Stop, error) {
	wake, err := newEventfd()
	if err != nil {
		return nil, fmt.Errorf("cannot prepare to stop the processes: %w", err)
	}
	return &Stop{hurry: wake, known: map[identity]*target{}, began: math.MaxUint64}, nil
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
		scanned := Ticks()
		s.prune(living)
		s.deadline(living)
		waiting, again := s.signal(living)
		s.began = min(s.began, scanned)
		switch {
		case s.killed && s.Now() >= s.endAt:
			return living, nil
		case waiting > 0:
			incomplete = 0
		case complete && !again, incomplete == maxIncomplete:
			return living, nil
		default:
			incomplete++
			again = true
		}
		s.wait(again)
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
		// The whole group in one step first: processes that fork in a loop are mostly there.
		_ = s.Command.SignalGroup(unix.SIGKILL)
	}
}

// signal sends what is due to each living process. It returns how many there are to wait for, and
// whether another scan must follow soon: one of them has no pidfd or has ended since the scan, or
// was signalled just now and may have forked or been stopped before that.
func (s *Stop) signal(living []Proc) (waiting int, again bool) {
	for _, p := range living {
		id := identity{p.PID, p.Start}
		t := s.known[id]
		if t == nil {
			t = &target{pidfd: -1}
			s.known[id] = t
		}
		s.watch(p, t)
		if t.exempt {
			continue
		}
		if sig := s.due(p, t); sig != 0 {
			again = again || !t.told
			t.told = true
			s.send(p, t, sig)
		}
		if t.told && !s.killed && p.Stopped() {
			// It acts on its signal when it is continued. Only a stopped process is sent SIGCONT, and
			// after its signal: the kernel stacks the handlers of pending signals, so that in a running
			// process a handler of SIGCONT would be called before that of SIGTERM.
			s.send(p, t, unix.SIGCONT)
		}
		again = again || t.pidfd < 0
		if !t.exempt && !t.gone {
			waiting++
		}
	}
	return waiting, again
}

// due is the signal that a process is to be sent now, or 0. A process that started in a later
// tick than the first scan's is a cleanup, and in the same tick it may be one.
func (s *Stop) due(p Proc, t *target) syscall.Signal {
	switch {
	case s.killed:
		return unix.SIGKILL
	case t.told || p.Start >= s.began:
		return 0
	case s.Command != nil && p.PID == s.Command.PID:
		return s.Signal
	}
	return unix.SIGTERM
}

func (s *Stop) send(p Proc, t *target, sig syscall.Signal) {
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

// watch opens a pidfd, unless there is one, too many are open, or the number is another process's
// by now.
func (s *Stop) watch(p Proc, t *target) {
	if t.pidfd >= 0 || s.watched == maxWatched {
		return
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return
	}
	if !same(p) {
		unix.Close(fd)
		t.gone = true
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
