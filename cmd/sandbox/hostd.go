package main

import (
	"context"

	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// hostdCommand is `sandbox hostd`, which the other commands start when they need it.
type hostdCommand struct {
	DataDir string `required:"" type:"path" placeholder:"DIR" help:"The data directory."`
	Guard   bool   `hidden:""`
}

func (c *hostdCommand) Run(ctx context.Context) error {
	dir, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	log := hostd.NewLogger()
	if c.Guard {
		return hostd.Guard(ctx, dir, nil, log)
	}
	return hostd.Main(ctx, hostd.Options{Dir: dir, Log: log, OpenEngine: hostd.OpenEngine}, nil)
}
