package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
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

	// What only an exec server can.
	Timeout time.Duration // 0: none
	Detach  bool          // start it, print its ID and leave it to itself
	JSON    bool          // tell how it has ended as a line of JSON, on Err
}

// Exec runs a command as the agent in a sandbox, once that is ready: before, its files are
// not there. It returns the command's exit code. open connects to the engine, which is asked
// only where the sandbox has no exec server or is not ready.
func Exec(ctx context.Context, open func() (*engine.Engine, error), d datadir.Dir, id string, o ExecOptions, s Streams) (int, error) {
	if err := o.check(s); err != nil {
		return 0, fmt.Errorf("cannot run a command in the sandbox %s: %w", id, err)
	}
	server, err := ConnectExec(ctx, d, id)
	if err == nil {
		defer server.Close()
		return server.exec(ctx, o, s)
	}
	if !errors.Is(err, ErrNoServer) {
		return 0, err
	}
	e, err := open()
	if err != nil {
		return 0, err
	}
	defer e.Close()
	server, entry, st, err := AwaitExec(ctx, e, d, id, s)
	switch {
	case err == nil:
		defer server.Close()
		return server.exec(ctx, o, s)
	case !errors.Is(err, ErrNoServer):
		return 0, err
	case o.Detach || o.Timeout != 0 || o.JSON:
		return 0, fmt.Errorf("--detach, --timeout and --json need an exec server: %w", noServer(id, entry.Image, err))
	}
	return execByEngine(ctx, e, entry, st, o, s)
}

// noServer says how to come by one.
func noServer(id, image string, err error) error {
	if errors.Is(err, ErrNoServer) {
		return fmt.Errorf("the sandbox %s: %w; build its image %s again and start it anew", id, err, image)
	}
	return err
}

// check refuses what makes no sense before anything is asked.
func (o ExecOptions) check(s Streams) error {
	switch {
	case o.TTY && o.Interactive && !terminal.Is(s.In):
		return errors.New("it cannot have a terminal: the input is none; leave out -t")
	case o.Detach && (o.Interactive || o.TTY):
		return errors.New("--detach goes with neither -i nor -t: nobody types to a command that is left to itself; `sandbox attach` shows its output")
	}
	return checkText(append(append([]string{o.Dir}, o.Command...), o.Env...))
}

// exec runs a command by the exec server.
func (x *ExecServer) exec(ctx context.Context, o ExecOptions, s Streams) (int, error) {
	spec := execapi.Spec{Args: o.Command, Env: o.Env, Dir: o.Dir, Stdin: o.Interactive, Timeout: o.Timeout, Tied: !o.Detach}
	if o.Detach {
		started, err := x.Start(ctx, spec)
		if err != nil {
			return notStarted(err, s)
		}
		if o.JSON {
			return 0, json.NewEncoder(s.Out).Encode(started)
		}
		fmt.Fprintln(s.Out, started.ID)
		return 0, nil
	}
	if o.TTY {
		if spec.Terminal = terminalOf(s.In); spec.Terminal == nil {
			spec.Terminal = new(execapi.Size)
		}
	}
	// From here on a signal is the command's, and ctx, which ends at the first, does not count.
	signals := catchSignals()
	defer signals.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	stream, err := x.StartAttached(context.WithoutCancel(ctx), spec)
	if err != nil {
		return notStarted(err, s)
	}
	c := &client{server: x, signals: signals, s: s, detach: make(chan struct{})}
	c.stream.Store(stream)
	f, err := c.attended(context.WithoutCancel(ctx), o.Interactive, o.TTY)
	return told(f, err, o.JSON, s)
}

// notStarted is how a command ends that could not be: with the code that a shell gives, and the reason said.
func notStarted(err error, s Streams) (int, error) {
	if code, ok := execapi.StartCode(err); ok {
		fmt.Fprintln(s.Err, "sandbox:", err)
		return code, nil
	}
	return 0, err
}

// attended is follow with the operator's terminal and input.
func (c *client) attended(ctx context.Context, interactive, tty bool) (execapi.Final, error) {
	defer func() { c.stream.Load().Close() }()
	if tty && terminal.Is(c.s.In) {
		if interactive {
			if restore, err := terminal.Raw(c.s.In); err == nil {
				defer restore()
			}
		}
		sizes, stop := context.WithCancel(ctx)
		defer stop()
		go terminal.Sizes(sizes, c.s.In, func(w, h int) {
			_ = c.stream.Load().Resize(execapi.Size{Rows: uint16(h), Columns: uint16(w)})
		})
	}
	if interactive {
		go c.input(tty)
	}
	return c.follow(ctx)
}

// told says what the exit code does not.
func told(f execapi.Final, err error, asJSON bool, s Streams) (int, error) {
	if errors.Is(err, errDetached) {
		fmt.Fprintln(s.Err, "\rsandbox: detached; the command goes on")
		return 0, nil
	}
	if err != nil {
		return f.Code, err
	}
	if asJSON {
		if err := json.NewEncoder(s.Err).Encode(f); err != nil {
			return 0, err
		}
	}
	switch {
	case f.Reason == execapi.Lost:
		return 0, errors.New("the command was lost: its sandbox's exec server was killed, and it was ended with it; processes that had left it may live until the sandbox stops")
	case f.Reason == execapi.TimedOut && !asJSON:
		fmt.Fprintln(s.Err, "sandbox: the command was ended at its timeout")
	case f.Reason == execapi.OOM && !asJSON:
		fmt.Fprintln(s.Err, "sandbox: the command was ended by the kernel: the sandbox's memory is full")
	}
	if f.Reason == execapi.TimedOut {
		return exitTimeout, nil
	}
	return f.Code, nil
}

// exitTimeout is timeout(1)'s.
const exitTimeout = 124

// execByEngine is for sandboxes without an exec server.
func execByEngine(ctx context.Context, e *engine.Engine, entry inventory.Entry, st contract.State, o ExecOptions, s Streams) (int, error) {
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
