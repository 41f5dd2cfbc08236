package memcg

import (
	"errors"
	"fmt"
)

// raises is in how many sweeps after a move the workload's scores are raised. The engine may still be
// at work on a session that is moved, and sets its score when it is done; that took a few
// milliseconds.
const raises = 20

// passes bounds a sweep. The kernel waits for a grace period before the first move, some 10 ms in which a
// process that forks and ends at once has long been followed by others. The moves after it take some 30 us, which is less
// than such a process lives: of 16 chains each was caught within 11.
const passes = 200

// errElusive says that there was always a process beside PID 1 that had ended when it was to be moved.
var errElusive = errors.New("it forks and ends faster than it can be moved")

// Sweep moves the processes that are beside PID 1 and not storage into the workload's cgroup, until it finds
// none, and returns how many. ErrEnded: the container has ended.
func (g *Group) Sweep() (moved int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first, ok := identify(g.pid1)
	if !ok {
		return 0, ErrEnded
	}
	done := make(map[int]bool)
	for range passes {
		found, err := g.pass(first, done)
		if len(done) > 0 {
			g.again = raises
		}
		if err != nil {
			return len(done), ended(err)
		}
		if !found {
			return len(done), g.raise()
		}
	}
	return len(done), errElusive
}

// pass looks once, and found says that there was a process to be moved. It may have forked before it was, so that a sweep is
// over when a pass finds nothing. One that was moved and is listed still has lost its first thread, which stays (cgroups(7)
// counts it until the others have ended).
func (g *Group) pass(first member, done map[int]bool) (found bool, err error) {
	pids, err := members(g.inits)
	if err != nil {
		return false, err
	}
	if len(pids) == 0 {
		return false, ErrEnded
	}
	for _, pid := range pids {
		// One that has ended before it was looked at may have left a child as well.
		if p, ok := identify(pid); done[pid] || ok && p.isInit(first) {
			continue
		}
		found = true
		moved, err := move(g.workload, pid)
		if err != nil {
			return found, err
		}
		if moved {
			done[pid] = true
		}
	}
	return found, nil
}

// Move moves the process that has this number in the container. The container asks for it while the
// process waits to become what belongs to the workload.
func (g *Group) Move(inner int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, dir := range []string{g.inits, g.workload} { // a sweep may have moved it
		pids, err := members(dir)
		if err != nil {
			return ended(err)
		}
		for _, pid := range pids {
			p, ok := identify(pid)
			if !ok || p.inner != inner || pid == g.pid1 {
				continue
			}
			if _, err := move(g.workload, pid); err != nil {
				return ended(err)
			}
			expose(pid)
			return nil
		}
	}
	return fmt.Errorf("there is no process %d beside PID 1", inner)
}

// raise exposes all of the workload, for some time after a move.
func (g *Group) raise() error {
	if g.again == 0 {
		return nil
	}
	g.again--
	pids, err := members(g.workload)
	for _, pid := range pids {
		expose(pid)
	}
	return ended(err)
}
