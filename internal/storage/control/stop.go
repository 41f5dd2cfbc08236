package control

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"
)

// StopCommand is `sandbox-init stop`: it begins the graceful stop, as SIGTERM from outside
// does, and returns at once. It exits 0 when the sandbox has been told.
func StopCommand(args []string) int { return here().stop(args, syscall.Kill) }

func (c call) stop(args []string, kill func(pid int, sig syscall.Signal) error) int {
	flags := c.flags("stop", "Begins the graceful stop of this sandbox, and returns at once.")
	if code, stop := parse(flags, args); stop {
		return code
	}
	state, err := readState(c.runDir)
	if err != nil {
		return c.fail(err)
	}
	// The drain ends every process, this one too, and may reach it before it has exited:
	// the caller would read 143 of a stop that was begun.
	signal.Ignore(syscall.SIGTERM)
	switch err := kill(state.PID, syscall.SIGTERM); {
	case err == nil:
		return 0
	case errors.Is(err, syscall.EPERM):
		return c.fail(errors.New("cannot stop the sandbox: it was started as root, and only root and the user that started it may; " +
			"the agent ends it by ending its command"))
	default:
		return c.fail(fmt.Errorf("cannot stop the sandbox: process %d: %w", state.PID, err))
	}
}
