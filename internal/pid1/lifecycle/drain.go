package lifecycle

import (
	"os"
	"slices"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/wire"
)

// drain ends everything but this process and the storage process, which begins with the
// bulk of the flush meanwhile. It returns the exit code, which the command's own
// status decides once it has ended.
func (s *sandbox) drain(code int) int {
	s.beginBudget()
	if err := s.ready.withdraw(); err != nil {
		s.log.Error("the sandbox still looks ready", "event", "ready_failed", "error", err.Error())
	}
	s.storage.drain(wire.Deadline{Boottime: s.budget.flush})
	s.execd.tell(wire.ExecdDrain)
	// Published before any process is told to end: one that then asks must not hear "ready".
	s.state.publish(func(st *contract.State) { st.Phase, st.Ready = contract.PhaseDrain, false })
	if !s.urgent() {
		s.preStop()
	}
	s.stopAll()
	releaseTerminal()
	if s.ended {
		return s.status.Code()
	}
	return code
}

// urgent: a second request to stop, or a process limit that leaves storage no room,
// turn the rest of the drain into SIGKILL.
func (s *sandbox) urgent() bool { return s.stops > 1 || s.storage.isStarved() }

// stopAll stops every process and waits for the command's status.
func (s *sandbox) stopAll() {
	if s.nothingLeft() {
		return
	}
	stop, err := process.NewStop()
	if err != nil {
		s.log.Error("the processes cannot be stopped", "event", "drain_failed", "error", err.Error())
		return
	}
	defer stop.Close()
	began := now()
	stop.Scope = process.Scope{Self: os.Getpid(), Kept: s.reaper.Kept, Spared: s.reaper.Spared}
	stop.Log, stop.Now = s.log, now
	stop.KillAt = s.budget.killAfter(began)
	if s.urgent() {
		stop.KillAt = began
	}
	stop.Command, stop.Signal = s.command, s.Config.StopSignal
	stop.Patience = int64(goneAfter)
	go func() {
		left, err := stop.Run()
		if err != nil {
			s.log.Error("the processes cannot be stopped", "event", "drain_failed", "error", err.Error())
		}
		s.drained <- left
	}()
	for over := false; !over; {
		switch s.next(never) { // Run keeps the deadlines
		case evStop, evStorage:
			if s.urgent() {
				stop.Hurry()
			}
		case evDrained:
			over = true
		}
	}
	if len(s.left) > 0 {
		s.log.Error("processes could not be stopped", "event", "drain_left", "count", len(s.left), "processes", process.Names(s.left))
	}
	s.awaitStatus()
	s.log.Info("the processes have ended", "event", "drained", "took", time.Duration(now()-began).String())
}

// awaitStatus takes the command's status, which may come a moment after its end was
// seen. A command that could not be stopped has none.
func (s *sandbox) awaitStatus() {
	if s.command == nil || slices.ContainsFunc(s.left, func(p process.Proc) bool { return p.PID == s.command.PID }) {
		return
	}
	for giveUp := now() + int64(time.Second); !s.ended; {
		if s.next(giveUp) == evDeadline {
			return
		}
	}
}

// nothingLeft spares a child of an ordinary machine's PID 1 the look through all of
// /proc: without children it has no descendants either, since orphans become its own.
// As PID 1 it must look, for a session that was exec'd in has no parent here.
func (s *sandbox) nothingLeft() bool {
	return os.Getpid() != 1 && !s.reaper.HasChildren()
}
