package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// execsCommand is `sandbox execs`.
type execsCommand struct {
	common
	JSON   bool     `name:"json" help:"Print one array of JSON."`
	Quiet  bool     `short:"q" help:"Print the IDs alone."`
	Remove []string `placeholder:"EXEC" sep:"none" help:"End this exec with all that it has started, and forget it. Repeatable."`
	ID     string   `arg:"" help:"The sandbox."`
}

// Help is what `sandbox execs --help` says beside its flags.
func (*execsCommand) Help() string {
	return `Those that have ended are listed for ten minutes, with the newest MiB of their output. An exec has ended because it
exited, a signal ended it (signaled), its timeout was reached (timeout), the memory was full (oom), the sandbox was
stopped or it was removed (stopped), or its server was killed (lost).`
}

func (c *execsCommand) Run(ctx context.Context) error {
	server, err := c.server(ctx, c.ID)
	if err != nil {
		return err
	}
	defer server.Close()
	if len(c.Remove) > 0 {
		var errs []error
		for _, id := range c.Remove {
			errs = append(errs, server.Remove(ctx, id))
		}
		return errors.Join(errs...)
	}
	list, err := server.List(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return json.NewEncoder(os.Stdout).Encode(list)
	case c.Quiet:
		for _, x := range list {
			fmt.Println(terminal.Plain(x.ID, maxShown))
		}
	default:
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "EXEC\tSTARTED\tOUTPUT\tSTATE\tCOMMAND")
		for _, x := range list {
			fmt.Fprintf(w, "%s\t%s ago\t%d\t%s\t%s\n", terminal.Plain(x.ID, maxShown), age(x.Started), x.To, execState(x), terminal.Plain(strings.Join(x.Args, " "), maxShown))
		}
		return w.Flush()
	}
	return nil
}

// maxShown bounds what is shown of a command: the list comes from a process of the agent's.
const maxShown = 100

func execState(x execapi.Exec) string {
	switch f := x.Final; {
	case f == nil:
		return "running"
	case f.Reason == execapi.Lost:
		return "lost"
	default:
		return fmt.Sprintf("%s (%d)", terminal.Plain(string(f.Reason), 20), f.Code)
	}
}

// server reaches the exec server of a sandbox.
func (c common) server(ctx context.Context, id string) (*run.ExecServer, error) {
	d, err := datadir.Open(c.DataDir)
	if err != nil {
		return nil, err
	}
	return run.OpenExec(ctx, func() (*engine.Engine, error) { return engine.Open(ctx) }, d, id, run.Streams{Err: os.Stderr})
}

// attachCommand is `sandbox attach`.
type attachCommand struct {
	common
	Interactive bool   `short:"i" help:"Send it what this program is given."`
	Offset      int64  `placeholder:"BYTES" help:"Begin at this byte of its output; 0 is the first, of which the newest MiB is kept."`
	JSON        bool   `name:"json" help:"Tell how it has ended as a line of JSON on the error stream."`
	ID          string `arg:"" help:"The sandbox."`
	Exec        string `arg:"" help:"The exec, as sandbox execs lists it."`
}

// Help is what `sandbox attach --help` says beside its flags.
func (*attachCommand) Help() string {
	return `It ends with the exec, and with its exit code. A signal ends this program alone, and the exec goes on; of one that has
a terminal, ` + run.DetachKeys + ` leaves it.`
}

func (c *attachCommand) Run(ctx context.Context) error {
	server, err := c.server(ctx, c.ID)
	if err != nil {
		return err
	}
	defer server.Close()
	code, err := server.Show(ctx, run.AttachOptions{Exec: c.Exec, Offset: c.Offset, Interactive: c.Interactive, JSON: c.JSON},
		run.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	return exit(code, err)
}
