package scaffold

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// roleFlag makes of a benchmark's program the storage process of a sandbox.
const roleFlag = "-as-storage"

// memoryLimit is what storage sets itself (internal/storage/limits.go).
const memoryLimit = 120 << 20

// Storage is what such a process needs to know.
type Storage struct {
	Endpoint, Bucket, Region string
	AccessKey, SecretKey     string
	State                    string // the directory of its journal, its cache and its log
}

// StorageOf is storage at a server, through an endpoint that may add a latency.
func StorageOf(s *Server, endpoint, bucket, state string) Storage {
	return Storage{endpoint, bucket, s.Region, s.AccessKey, s.SecretKey, state}
}

// StorageCommand starts this program again as a storage process that gets the job.
func StorageCommand(job any) ([]string, error) {
	b, err := json.Marshal(job)
	return []string{"/proc/self/exe", roleFlag, string(b)}, err
}

// IsStorage says whether this program is such a process, and if so reads its job.
func IsStorage(job any) (bool, error) {
	if len(os.Args) != 3 || os.Args[1] != roleFlag {
		return false, nil
	}
	return true, json.Unmarshal([]byte(os.Args[2]), job)
}

// Open completes a configuration with what is the same in all benchmarks and opens its store, under
// the memory limit of storage.
func (s Storage) Open(ctx context.Context, cfg *config.Config) (*objectstore.Store, *slog.Logger, error) {
	if err := os.MkdirAll(s.State, 0o700); err != nil {
		return nil, nil, err
	}
	debug.SetMemoryLimit(memoryLimit)
	cfg.SandboxID, cfg.UserID, cfg.StateDir = "bench", "u", s.State
	cfg.S3 = config.S3{Bucket: s.Bucket, Endpoint: s.Endpoint, Region: s.Region, Prefix: "users/", ForcePathStyle: true}
	log := slog.New(slog.NewJSONHandler(s.log(), nil))
	store, err := objectstore.Open(ctx, objectstore.Options{S3: cfg.S3, Log: log, Credentials: wire.Credentials{
		Env: map[string]string{"AWS_ACCESS_KEY_ID": s.AccessKey, "AWS_SECRET_ACCESS_KEY": s.SecretKey},
	}})
	if err != nil {
		return nil, nil, err
	}
	_, err = store.Probe(ctx, cfg.UserPrefix()+contract.ProbePrefix)
	return store, log, err
}

func (s Storage) log() io.Writer {
	f, err := os.OpenFile(filepath.Join(s.State, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return io.Discard
	}
	return f
}

// Build builds a package of this repository.
func Build(target, pkg string) error {
	if out, err := exec.Command("go", "build", "-o", target, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Tail is the end of what a program has said.
func Tail(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-300):]
}
