package main

import (
	"context"

	"github.com/matrx/sandbox/internal/host/keeper"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// keeperCommand is `sandbox keeper`, which the other commands start when they need it.
type keeperCommand struct {
	DataDir string `required:"" type:"path" placeholder:"DIR" help:"The data directory."`
	Guard   bool   `hidden:""`
}

func (c *keeperCommand) Run(ctx context.Context) error {
	dir, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	log := keeper.NewLogger()
	if c.Guard {
		return keeper.Guard(ctx, dir, nil, log)
	}
	return keeper.Main(ctx, keeper.Options{Dir: dir, Log: log, OpenEngine: keeper.OpenEngine}, nil)
}
