package lifecycle

import (
	"errors"
	"os"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/wire"
)

// work is the state run: pre-start hooks, ready, the command, until it ends or the
// sandbox is to stop. It returns the exit code as far as it is known.
func (s *sandbox) work() int {
	if s.stops > 0 {
		return s.notRun()
	}
	switch stopped, err := s.preStart(); {
	case err != nil:
		s.log.Error("a pre-start hook has failed, and the command is not started", "event", "hook_fatal", "error", err.Error())
		return contract.ExitHydrate
	case stopped:
		return s.notRun()
	}
	s.becomeReady()
	s.execd.tell(wire.ExecdReady)
	if len(s.Command) > 0 {
		if code := s.start(); code != 0 {
			return code
		}
	}
	for {
		switch s.next(never) {
		case evCommand:
			s.log.Info("the command has ended", "event", "command_ended", "code", s.status.Code())
			return s.status.Code()
		case evStop:
			if s.command == nil {
				return 0
			}
			return contract.ExitSignalBase + int(s.Config.StopSignal) // until it has ended and says otherwise
		case evStorage:
			if s.storage.starved {
				return contract.ExitSignalBase + 9
			}
		}
	}
}

// becomeReady comes before the command: it may look for the file.
func (s *sandbox) becomeReady() {
	if err := s.ready.create(); err != nil {
		s.log.Error("others cannot see that the sandbox is ready", "event", "ready_failed", "error", err.Error())
	}
	s.state.publish(func(st *contract.State) {
		st.Phase, st.Ready, st.ReadyAt = contract.PhaseRun, true, time.Now().UTC()
	})
	s.log.Info("the sandbox is ready", "event", "ready")
}

// start starts the command; the code is not 0 when it could not be.
func (s *sandbox) start() int {
	child, err := s.takePrepared(), error(nil)
	if child == nil {
		child, err = s.startOurs(s.agents, s.commandSpec())
	}
	if err != nil {
		s.log.Error("cannot start the command", "event", "command_failed", "error", err.Error())
		var start *process.StartError
		if errors.As(err, &start) {
			return start.Code()
		}
		return contract.ExitNotExecutable
	}
	s.command = child
	s.state.update(func(st *contract.State) { st.WorkloadPID = child.PID })
	s.log.Debug("the command runs", "event", "command_started", "pid", child.PID, "command", s.Command[0])
	return 0
}

func (s *sandbox) commandSpec() process.Spec {
	return process.Spec{
		Argv:       s.Command,
		Env:        s.env,
		Files:      [3]uintptr{0, 1, 2},
		Credential: s.Mode.AgentCredential(),
		Terminal:   process.ForegroundTerminal(),
		Expendable: true,
	}
}

// releaseTerminal takes the foreground back for this process's parent. PID 1 has
// none.
func releaseTerminal() {
	if os.Getpid() == 1 {
		return
	}
	for fd := range 3 {
		if process.ReclaimForeground(fd) {
			return
		}
	}
}
