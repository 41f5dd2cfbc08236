package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
)

// logsCommand is `sandbox logs`.
type logsCommand struct {
	common
	Follow bool   `short:"f" help:"Go on until it has ended."`
	Tail   int    `default:"-1" placeholder:"N" help:"The last N lines alone, of one that runs."`
	ID     string `arg:"" help:"The sandbox."`
}

func (c *logsCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := inventory.Find(ctx, e, d, c.ID)
	if err != nil {
		return err
	}
	if err := printFile(s.SandboxDir.EarlierLogFile()); err != nil {
		return err
	}
	if s.Container == "" { // it is gone, and its output was kept
		sayCut(s.SandboxDir.Marks().LogCut())
		return printFile(s.SandboxDir.LogFile())
	}
	box, err := e.Inspect(ctx, s.Container)
	if err != nil {
		return err
	}
	var meter engine.LogMeter
	err = e.Logs(ctx, s.Container, box.TTY, c.Follow, c.Tail, meter.Through(os.Stdout), meter.Through(os.Stderr))
	sayCut(meter.Cut())
	return err
}

// sayCut says what the output lacks.
func sayCut(cut bool) {
	if cut {
		fmt.Fprintf(os.Stderr, "sandbox: the beginning of the output may be missing: of more than %d MB the newest is kept\n", engine.MaxOutput>>20)
	}
}

func printFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}
