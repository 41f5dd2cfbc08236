package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"golang.org/x/sys/unix"
)

// ExecOptions say what to run in a sandbox that runs.
type ExecOptions struct {
	Command     []string
	Env         []string
	Dir         string // empty: the home
	Interactive bool
	TTY         bool
}

// Exec runs a command as the agent in a sandbox, once that is ready: before, its files are
// not there. It returns the command's exit code.
func Exec(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, o ExecOptions, s Streams) (int, error) {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return 0, err
	}
	if !entry.Running {
		return 0, fmt.Errorf("cannot run a command in the sandbox %s: it has ended", id)
	}
	if o.TTY && o.Interactive && !terminal.Is(s.In) {
		return 0, errors.New("cannot give the command a terminal: the input is none; leave out -t")
	}
	if err := checkText(append(append([]string{o.Dir}, o.Command...), o.Env...)); err != nil {
		return 0, fmt.Errorf("cannot run a command in the sandbox %s: %w", id, err)
	}
	revive(ctx, entry, func(string, ...any) {})()
	over := Output{Err: s.Err}.waiting("the sandbox %s to be ready", id)
	st, err := awaitReady(ctx, e, entry)
	over()
	if err != nil {
		return 0, err
	}
	dir := o.Dir
	if dir == "" {
		dir = contract.DefaultHotPath
	}
	streams := engine.Streams{TTY: o.TTY, Out: s.Out, Err: s.Err}
	if o.Interactive {
		streams.In = s.In
	}
	// From here on a signal is the command's, and ctx, which ends at the first, does not count.
	signals := catchSignals()
	defer signals.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	asking, asked := outlast(ctx)
	defer asked()
	ctx = context.WithoutCancel(ctx)
	command := asAgent(st, o.Command)
	command.Dir = dir
	command.Env = append([]string{"HOME=" + contract.DefaultHotPath, "USER=" + contract.AgentUser, "LOGNAME=" + contract.AgentUser}, o.Env...)
	x, err := e.Exec(asking, entry.Container, command, streams)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	if o.TTY && terminal.Is(s.In) {
		if o.Interactive {
			if restore, err := terminal.Raw(s.In); err == nil {
				defer restore()
			}
		}
		sizes, stop := context.WithCancel(ctx)
		defer stop()
		go terminal.Sizes(sizes, s.In, func(w, h int) { _ = x.Resize(sizes, w, h) })
	}
	return followExec(ctx, x, signals, s.Err)
}

// asAgent has sandbox-init make the session what the sandbox's own command is: it begins as root,
// since a bounding set is dropped by root alone. A sandbox-init that cannot is older, and the engine makes
// the session the agent's.
func asAgent(st contract.State, args []string) engine.Command {
	agent := engine.Command{User: strconv.Itoa(contract.AgentUID) + ":" + strconv.Itoa(contract.AgentGID), Args: args}
	if st.SessionRole == contract.SessionRole && st.Isolation == contract.IsolationFull {
		agent = engine.Command{User: "0:0", Args: append([]string{contract.InitBinary, contract.SessionRole}, args...)}
	}
	return agent
}

// followExec waits for the command's end and passes on what this program is told meanwhile. At the third
// signal that tells it to end it kills the command and leaves, whether or not its output is read.
func followExec(ctx context.Context, x *engine.Exec, signals *signalQueue, errw io.Writer) (int, error) {
	ending := 0
	for {
		select {
		case sig := <-signals.c:
			n, _ := sig.(syscall.Signal)
			if !forwards(sig) {
				ending++
			}
			if ending >= 3 {
				err := within(ctx, killWithin, func(ctx context.Context) error { return x.Signal(ctx, unix.SIGKILL) })
				return leftCode(sig), errors.Join(errors.New("the command was killed at the third signal"), err)
			}
			go func() {
				if err := x.Signal(ctx, n); err != nil {
					fmt.Fprintln(errw, "sandbox:", err)
				}
			}()
		case err := <-x.Done():
			switch {
			case errors.Is(err, syscall.EPIPE): // its output has no reader left; it ends as by a closed pipe
				_ = x.Signal(ctx, unix.SIGPIPE)
				return leftCode(syscall.SIGPIPE), nil
			case err != nil:
				return 0, fmt.Errorf("lost sight of the command: %w", err)
			}
			return x.ExitCode(ctx)
		}
	}
}

// killWithin bounds the last question to the engine of a program that leaves.
const killWithin = 5 * time.Second

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	return do(ctx)
}

// awaitReady waits until a sandbox is ready; one that ends or stops before is an error.
func awaitReady(ctx context.Context, e *engine.Engine, entry inventory.Entry) (contract.State, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if exit := <-e.Wait(ctx, entry.Container, false); exit.Err == nil {
			stop(errors.New("it has ended"))
		}
	}()
	st, err := entry.SandboxDir.AwaitState(ctx, func(st contract.State) bool {
		return st.Ready || st.Phase == contract.PhaseDrain || st.Phase == contract.PhaseFlush || st.Phase == contract.PhaseExit
	})
	if err == nil && !st.Ready {
		err = errors.New("it is being stopped")
	}
	if err != nil {
		return st, fmt.Errorf("the sandbox %s is not ready: %w", entry.SandboxID, err)
	}
	return st, nil
}
