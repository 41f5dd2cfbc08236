package lifecycle

import (
	"github.com/matrx/sandbox/internal/pid1/process"
)

// The workload's memory. A host that divides the memory moves each process of the workload into its part, and a
// process is born where its parent is. Each of the first processes, those that this one forks for the workload, is
// therefore held before it executes anything until the host has moved it: no descendant of the workload's is ever beside
// this process, however fast it forks. A host that does not answer is waited for in process.Move's bound, and the log says so.

// startOurs starts what belongs to the workload.
func (s *sandbox) startOurs(from *process.Spawner, spec process.Spec) (*process.Child, error) {
	if s.Config.MemorySocket == "" {
		return from.Start(spec)
	}
	held, err := from.Hold(spec, s.move)
	if err != nil {
		return nil, err
	}
	held.Release()
	return held.Child, nil
}

// move is called between fork and exec.
func (s *sandbox) move(pid int) {
	if err := process.Move(s.Config.MemorySocket, pid); err != nil {
		s.log.Warn("the memory of a process counts as the sandbox's, not as the workload's: its command may leave storage none",
			"event", "memory_undivided", "pid", pid, "error", err.Error())
	}
}

// prepare forks the command before its time: the kernel takes some 10 ms to move a process, in which the home is hydrated.
// Nothing of the command runs. Where it fails, start tries once more.
func (s *sandbox) prepare() {
	if s.Config.MemorySocket == "" || len(s.Command) == 0 {
		return
	}
	s.prepared, _ = s.agents.Hold(s.commandSpec(), s.move)
}

// prepared is the command that was forked, if it still lives.
func (s *sandbox) takePrepared() *process.Child {
	held := s.prepared
	if held == nil {
		return nil
	}
	s.prepared = nil
	select {
	case <-held.Done: // a hook may have killed all that is the agent's
		held.Abandon()
		return nil
	default:
		held.Release()
		return held.Child
	}
}

// abandonPrepared ends a command that is not wanted any more.
func (s *sandbox) abandonPrepared() {
	if s.prepared != nil {
		s.prepared.Abandon()
		s.prepared = nil
	}
}
