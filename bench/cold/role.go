package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/fusefs"
	"github.com/matrx/sandbox/internal/storage/lease"
)

// profileVariable names a file for our CPU profile; the last mount's remains.
const profileVariable = "BENCH_COLD_PROFILE"

// role is the storage process of a sandbox with nothing but the cold path. Descriptor 3 is the mount's.
func role(j scaffold.Storage) error {
	if name := os.Getenv(profileVariable); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := &config.Config{Cold: config.Cold{MetadataTTL: 60 * time.Second}}
	store, log, err := j.Open(ctx, cfg)
	if err != nil {
		return err
	}
	fs, err := cold.New(cold.Options{Config: cfg, Store: store, Fence: lease.None{}, Log: log})
	if err != nil {
		return err
	}
	if err := fusefs.Serve(ctx, fs, 3, log, nil); err != nil && ctx.Err() == nil {
		return errors.Join(err, fs.Close())
	}
	return fs.Close()
}
