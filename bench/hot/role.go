package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot"
	"github.com/matrx/sandbox/internal/storage/lease"
)

// job is what the storage process of a sandbox is to do.
type job struct {
	scaffold.Storage
	Home string

	// Flush goes on after hydrate: watch, and when "go" is read, flush. Each step's end is
	// said on the standard output with what it took.
	Flush bool
}

// took is what a step took.
type took struct {
	Step    string
	Seconds float64
	CPU     float64
	Files   int64
	Bytes   int64
}

func role(j job) error {
	ctx := context.Background()
	cfg := &config.Config{
		HotPath: j.Home, HydrateTimeout: 10 * time.Minute,
		Hot: config.Hot{Exclude: config.DefaultExclude, Quiet: 500 * time.Millisecond, MaxStaleness: 5 * time.Second},
	}
	start := time.Now()
	store, log, err := j.Open(ctx, cfg)
	if err != nil {
		return err
	}
	l, err := lease.Acquire(ctx, lease.Options{
		Store: lease.Objects{Store: store}, Key: cfg.UserPrefix() + contract.LeaseName, Prefix: cfg.UserPrefix(),
		SandboxID: cfg.SandboxID, Instance: rand.Text(), Log: log,
	})
	if err != nil {
		return err
	}
	e, err := hot.New(hot.Options{Config: cfg, Store: store, Fence: l, Log: log})
	if err != nil {
		return err
	}
	h, err := e.Hydrate(ctx, l.Seal())
	if err != nil {
		return err
	}
	say(took{"hydrate", time.Since(start).Seconds(), cpuNow(), h.Files, h.Bytes})
	if j.Flush {
		err = flush(ctx, e)
	}
	return errors.Join(err, l.Release(ctx, e.Seal()), e.Close())
}

// flush watches the home, and flushes when it is told to.
func flush(ctx context.Context, e *hot.Syncer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	var l *staleness
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		start, cpu := time.Now(), cpuNow()
		switch in.Text() {
		case "checkpoint":
			c, err := e.Checkpoint(ctx)
			if err != nil {
				return err
			}
			say(took{"checkpoint", time.Since(start).Seconds(), cpuNow() - cpu, int64(c.Files), c.Bytes})
		case "sample":
			l = beginSampling(e)
		case "samples":
			say(took{"samples", l.end().Seconds(), cpuNow(), int64(len(l.seen)), e.Status().Uploaded})
		case "cpu":
			say(took{"cpu", 0, cpuNow(), e.Status().Files, 0})
		case "flush":
			f, err := e.Flush(ctx)
			if err != nil {
				return err
			}
			if f.UnsavedCount > 0 {
				return fmt.Errorf("%d files were not saved: %s", f.UnsavedCount, f.Reason)
			}
			say(took{"flush", time.Since(start).Seconds(), cpuNow() - cpu, f.Files, f.Bytes})
		}
	}
	cancel()
	if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func say(t took) {
	b, _ := json.Marshal(t)
	fmt.Println(string(b))
}

func cpuNow() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
