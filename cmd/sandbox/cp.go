package main

import (
	"context"
	"os"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/cp"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// cpCommand is `sandbox cp`.
type cpCommand struct {
	common
	Follow bool   `short:"L" name:"follow-link" help:"When SRC is a symbolic link, copy what it leads to."`
	Src    string `arg:"" placeholder:"SRC" help:"What to copy: ID:PATH in a sandbox (below the home unless it is absolute), a path here, or - for a tar archive on standard input. DIR/. is what is in a directory."`
	Dst    string `arg:"" placeholder:"DST" help:"Where to: likewise. What is a directory is copied into; - is a tar archive on standard output."`
}

func (c *cpCommand) Run(ctx context.Context) error {
	src, dst := cp.ParsePlace(c.Src), cp.ParsePlace(c.Dst)
	if err := cp.Check(src, dst); err != nil {
		return failure{exitUsage, err}
	}
	d, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	return cp.Copy(ctx, func() (*engine.Engine, error) { return engine.Open(ctx) }, d, src, dst, cp.Options{
		Follow: c.Follow, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: terminal.Is(os.Stderr),
	})
}
