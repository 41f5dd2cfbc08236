package main

import (
	"context"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// execCommand is `sandbox exec`.
type execCommand struct {
	common
	Interactive bool          `short:"i" help:"Let it read what this program is given."`
	TTY         bool          `short:"t" name:"tty" help:"Give it a terminal."`
	Env         []string      `short:"e" sep:"none" placeholder:"KEY=VALUE" help:"Set a variable. Repeatable."`
	Dir         string        `short:"w" name:"workdir" placeholder:"DIR" help:"Directory to start in; the home when not given."`
	Timeout     time.Duration `placeholder:"DURATION" help:"End it with all that it has started after this time, as 90s or 5m; exit code 124."`
	Detach      bool          `short:"d" help:"Print the exec's ID and leave it to itself; sandbox attach shows its output."`
	JSON        bool          `name:"json" help:"With --detach print the exec as JSON; else how it has ended, as a line of JSON on the error stream."`
	ID          string        `arg:"" help:"The sandbox."`
	Command     []string      `arg:"" passthrough:"partial" help:"Command to run as the agent, once the sandbox is ready."`
}

// Help is what `sandbox exec --help` says beside its flags.
func (*execCommand) Help() string {
	return `It runs as the agent, in the home, with the sandbox's environment. Signals go to the command, the third one that
asks to end kills it; when this program is killed or its output is closed, the command ends with all that it has
started, unless --detach leaves it. With -t and -i, ` + run.DetachKeys + ` leaves it running.

  sandbox exec ID -- make test            its output, and its exit code
  sandbox exec -it ID -- bash             a terminal
  sandbox exec --timeout 5m ID -- CMD     ended after five minutes, whatever it has started
  sandbox exec --detach ID -- CMD         runs on; sandbox execs lists it, sandbox attach shows its output`
}

func (c *execCommand) Run(ctx context.Context) error {
	d, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	code, err := run.Exec(ctx, func() (*engine.Engine, error) { return engine.Open(ctx) }, d, c.ID, run.ExecOptions{
		Command: withoutDashes(c.Command), Env: c.Env, Dir: c.Dir, Interactive: c.Interactive, TTY: c.TTY,
		Timeout: c.Timeout, Detach: c.Detach, JSON: c.JSON,
	}, run.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	return exit(code, err)
}
