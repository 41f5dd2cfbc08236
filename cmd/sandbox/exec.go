package main

import (
	"context"
	"os"

	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// execCommand is `sandbox exec`.
type execCommand struct {
	common
	Interactive bool     `short:"i" help:"Let it read what this program is given."`
	TTY         bool     `short:"t" name:"tty" help:"Give it a terminal."`
	Env         []string `short:"e" sep:"none" placeholder:"KEY=VALUE" help:"Set a variable. Repeatable."`
	Dir         string   `short:"w" name:"workdir" placeholder:"DIR" help:"Directory to start in; the home when not given."`
	ID          string   `arg:"" help:"The sandbox."`
	Command     []string `arg:"" passthrough:"partial" help:"Command to run as the agent, once the sandbox is ready."`
}

func (c *execCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	code, err := run.Exec(ctx, e, d, c.ID, run.ExecOptions{
		Command: withoutDashes(c.Command), Env: c.Env, Dir: c.Dir, Interactive: c.Interactive, TTY: c.TTY,
	}, run.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	return exit(code, err)
}
