package process

import (
	"time"

	"golang.org/x/sys/unix"
)

// maxWatched bounds the pidfds that are open at once; RLIMIT_NOFILE is 1,024 in the
// worst case. Processes beyond it are signalled all the same, and found again by scanning.
const maxWatched = 512

// rescan is how long a set of processes that changes is left alone before it is looked
// through again: nothing tells an unprivileged process of a fork, and a scan costs
// some 10 us a process.
const rescan = 10 * time.Millisecond

// wait returns when all that are watched have ended, when one has ended and the last
// scan is a while ago, at the next deadline, or when Hurry was called. While the set
// changes it returns soon in any case.
func (s *Stop) wait(changing bool) {
	again := s.Now() + int64(rescan)
	due := s.KillAt
	if s.killed {
		due = s.endAt
	}
	if changing {
		due = min(due, again)
	}
	ended := false
	for {
		fds := []unix.PollFd{{Fd: int32(s.hurry), Events: unix.POLLIN}}
		var watched []*target
		for _, t := range s.known {
			if t.pidfd >= 0 && !t.exempt {
				fds = append(fds, unix.PollFd{Fd: int32(t.pidfd), Events: unix.POLLIN})
				watched = append(watched, t)
			}
		}
		if len(watched) == 0 && (ended || !changing) {
			return
		}
		timeout := unix.NsecToTimespec(max(0, due-s.Now()))
		n, err := unix.Ppoll(fds, &timeout, nil)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 { // it is due
			return
		}
		if fds[0].Revents != 0 {
			s.hurry.clear()
			s.KillAt = s.Now()
			return
		}
		for i, t := range watched {
			if fds[i+1].Revents != 0 { // pidfd_open(2): readable when the process has ended
				s.unwatch(t)
				t.gone, ended = true, true
			}
		}
		// Those that end together are gathered: a scan for each of ten thousand
		// would cost the square of their number.
		due = min(due, again)
	}
}

// eventfd is eventfd(2): set by one thread, polled by another.
type eventfd int

func newEventfd() (eventfd, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return eventfd(fd), err
}

func (e eventfd) close() { _ = unix.Close(int(e)) }

func (e eventfd) set() {
	one := [8]byte{1} // not zero in either byte order
	_, _ = unix.Write(int(e), one[:])
}

func (e eventfd) clear() {
	var count [8]byte
	_, _ = unix.Read(int(e), count[:])
}
