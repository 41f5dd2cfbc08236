package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// stopCommand is `sandbox stop`.
type stopCommand struct {
	common
	JSON  bool     `name:"json" help:"Report how they ended in lines of JSON, on the error stream."`
	Quiet bool     `short:"q" help:"Say nothing when all went well."`
	ID    []string `arg:"" name:"id" help:"The sandboxes."`
}

// Run stops them side by side: each may take its whole shutdown timeout.
func (c *stopCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	out := telling{JSON: c.JSON, Quiet: c.Quiet}.output()
	out.Terminal = out.Terminal && len(c.ID) == 1 // one line of progress, not several
	errs := make([]error, len(c.ID))
	var all sync.WaitGroup
	for i, id := range c.ID {
		all.Go(func() { errs[i] = run.Stop(ctx, e, d, id, out) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// killCommand is `sandbox kill`.
type killCommand struct {
	common
	JSON bool     `name:"json" help:"Report how they ended in lines of JSON, on the error stream."`
	ID   []string `arg:"" name:"id" help:"The sandboxes."`
}

func (c *killCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	var errs []error
	for _, id := range c.ID {
		errs = append(errs, run.Kill(ctx, e, d, id, telling{JSON: c.JSON}.output()))
	}
	return errors.Join(errs...)
}

// rmCommand is `sandbox rm`.
type rmCommand struct {
	common
	Force bool     `short:"f" help:"Stop those that run, and throw away changes that are not saved."`
	ID    []string `arg:"" name:"id" help:"The sandboxes."`
}

func (c *rmCommand) Run(ctx context.Context) error {
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	out := telling{}.output()
	var errs []error
	for _, id := range c.ID {
		if err := run.Remove(ctx, e, d, id, c.Force, out); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(os.Stdout, id)
	}
	return errors.Join(errs...)
}

func duration(s seconds) time.Duration { return time.Duration(s) }
