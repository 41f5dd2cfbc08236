package process

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// Reaper is the one owner of wait4 in this process.
type Reaper struct {
	mu       sync.Mutex // held across fork and across wait4
	children map[int]*Child
}

// Child is a process that this one has started and waits for.
type Child struct {
	PID int

	// Done gets the status, once.
	Done <-chan Status

	reaper *Reaper
	done   chan Status
	kept   bool
	spared bool
}

// Status is how a process ended.
type Status struct{ syscall.WaitStatus }

// Code is the exit code, or 128+n when signal n ended the process, as shells have it.
func (s Status) Code() int {
	if s.Signaled() {
		return contract.ExitSignalBase + int(s.Signal())
	}
	return s.ExitStatus()
}

// NewReaper starts to reap whenever died has a value (Signals.Children). There must be
// one in a process, and it lives as long.
func NewReaper(died <-chan struct{}) *Reaper {
	r := &Reaper{children: map[int]*Child{}}
	go r.loop(died)
	return r
}

// Storms: every wait4(-1) walks past the living children to find a dead one, so
// that reaping each of ten thousand as it falls costs the square of their number.
// After a pass that found many, the next waits a moment for more to be dead. A pass
// that found few is followed at once, so that a child that ends alone is not waited for.
const (
	stormPass  = 32
	stormPause = 5 * time.Millisecond
)

func (r *Reaper) loop(died <-chan struct{}) {
	pause := time.NewTimer(0)
	<-pause.C
	for range died {
		for r.reap() >= stormPass {
			pause.Reset(stormPause)
			<-pause.C
		}
	}
}

// reap takes every status there is and says how many.
func (r *Reaper) reap() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 { // ECHILD, or children that live
			return n
		}
		n++
		if c := r.children[pid]; c != nil {
			delete(r.children, pid)
			c.done <- Status{ws}
		}
	}
}

// start forks under the lock: a child that ends before its number is known here
// waits as a zombie until it is.
func (r *Reaper) start(fork func() (int, error), kept, spared bool) (*Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return nil, err
	}
	done := make(chan Status, 1)
	c := &Child{PID: pid, Done: done, reaper: r, done: done, kept: kept, spared: spared}
	r.children[pid] = c
	return c, nil
}

// Signal sends a signal to the child, or os.ErrProcessDone when it has been reaped
// and its number may be another's.
func (c *Child) Signal(sig syscall.Signal) error {
	return c.kill(c.PID, sig)
}

// SignalGroup sends a signal to the process group that the child leads. The kernel
// does it in one step with respect to fork: no member gets away by forking.
func (c *Child) SignalGroup(sig syscall.Signal) error {
	return c.kill(-c.PID, sig)
}

func (c *Child) kill(pid int, sig syscall.Signal) error {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.children[c.PID] != c {
		return os.ErrProcessDone
	}
	err := syscall.Kill(pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// HasChildren says whether this process has any child, zombies included.
func (r *Reaper) HasChildren() bool {
	// With WNOWAIT nothing is taken, so that this need not be the reaper.
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD
}

// Kept are the children that a Stop leaves alone with their descendants. One that is being forked counts:
// this waits until it has a number.
func (r *Reaper) Kept() []int { return r.those(func(c *Child) bool { return c.kept }) }

// Spared are the children that a Stop leaves alone without their descendants, likewise.
func (r *Reaper) Spared() []int { return r.those(func(c *Child) bool { return c.spared }) }

// Started are the children that this process has started and that have not been reaped, likewise.
func (r *Reaper) Started() []int { return r.those(func(*Child) bool { return true }) }

func (r *Reaper) those(wanted func(*Child) bool) (pids []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, c := range r.children {
		if wanted(c) {
			pids = append(pids, pid)
		}
	}
	return pids
}
