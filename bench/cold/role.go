package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/fusefs"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// roleFlag makes of this program the storage process of a sandbox, with nothing but the cold path.
const roleFlag = "-as-storage"

// profileVariable names a file for our CPU profile; the last mount's remains.
const profileVariable = "BENCH_COLD_PROFILE"

// job is what such a process is to serve. Descriptor 3 is the mount's.
type job struct {
	Endpoint, Region     string
	AccessKey, SecretKey string
	State                string
}

// memoryLimit is what storage sets itself (internal/storage/limits.go).
const memoryLimit = 120 << 20

func role(args []string) error {
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
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
	debug.SetMemoryLimit(memoryLimit)
	cfg := &config.Config{
		SandboxID: "bench", UserID: "u", StateDir: j.State,
		S3:   config.S3{Bucket: bucket, Endpoint: j.Endpoint, Region: j.Region, Prefix: "users/", ForcePathStyle: true},
		Cold: config.Cold{MetadataTTL: 60 * time.Second},
	}
	log := slog.New(slog.NewJSONHandler(logTo(j.State), nil))
	store, err := objectstore.Open(ctx, objectstore.Options{S3: cfg.S3, Log: log, Credentials: wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": j.AccessKey, "AWS_SECRET_ACCESS_KEY": j.SecretKey}}})
	if err != nil {
		return err
	}
	if _, err := store.Probe(ctx, cfg.MetaPrefix()); err != nil {
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

func logTo(dir string) io.Writer {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return io.Discard
	}
	return f
}
