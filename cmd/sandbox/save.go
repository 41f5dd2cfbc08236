package main

import (
	"context"

	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// saveCommand is `sandbox save`.
type saveCommand struct {
	common
	telling
	StopTimeout seconds `name:"stop-timeout" placeholder:"T" help:"How long it may take to end and save (SHUTDOWN_TIMEOUT_SECONDS)."`
	Image       string  `placeholder:"REF" help:"Save with this image, when the one that the sandbox ran is gone."`
	ID          string  `arg:"" help:"The sandbox."`
}

func (c *saveCommand) Run(ctx context.Context) error {
	code, err := run.Save(ctx, run.Options{DataDir: c.DataDir, Image: c.Image, Shutdown: duration(c.StopTimeout), LogLevel: c.LogLevel}, c.ID, standard(), c.output())
	return exit(code, err)
}
