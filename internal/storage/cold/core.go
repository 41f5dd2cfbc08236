package cold

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// core is what all parts of the cold path work with: what they are configured with, the store, the disk, the one
// lock, and what runs in the background.
type core struct {
	cfg      *config.Config
	store    *objectstore.Store
	fence    lease.Fence
	log      *slog.Logger
	prefix   string // of all keys
	ttl      time.Duration
	patience time.Duration
	quiet    time.Duration
	started  time.Time

	cache   *cache.Cache
	journal *pending.Journal

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu sync.Mutex // of the tree and the dirty keys
}

// openCore takes hold of the cache's directory, and gives what the journal has.
func openCore(o Options) (c *core, dir string, found pending.Found, err error) {
	c = &core{
		cfg: o.Config, store: o.Store, fence: o.Fence, log: o.Log, prefix: o.Config.ColdPrefix(),
		ttl: o.Config.Cold.MetadataTTL, patience: o.Patience, quiet: o.Quiet, started: time.Now(),
	}
	if c.patience == 0 {
		c.patience = 20 * time.Second
	}
	if c.quiet == 0 {
		c.quiet = 250 * time.Millisecond
	}
	if dir, err = c.cacheDir(); err != nil {
		return nil, "", found, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, "", found, fmt.Errorf("cannot tell this boot of the machine from others: %w", err)
	}
	c.cache, err = cache.Open(cache.Options{Dir: dir, Max: o.Config.Cold.CacheMaxBytes, BootID: strings.TrimSpace(string(boot)), Log: o.Log})
	if err != nil {
		return nil, "", found, err
	}
	if c.journal, found, err = pending.Open(dir); err != nil {
		return nil, "", found, errors.Join(err, c.cache.Close())
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, dir, found, nil
}

// close lets go of the cache's directory.
func (c *core) close() error { return errors.Join(c.journal.Close(), c.cache.Close()) }

// cacheDir is where this bucket's and this user's content is cached: what is pending for one
// workspace must never go up to another. What is clean of others is dropped.
func (c *core) cacheDir() (string, error) {
	top := c.cfg.Cold.CachePath
	if top == "" {
		top = filepath.Join(c.cfg.StateDir, "cold-cache")
	}
	id := sha256.Sum256([]byte(c.cfg.S3.Endpoint + "\x00" + c.cfg.S3.Bucket + "\x00" + c.prefix))
	own := hex.EncodeToString(id[:8])
	if err := os.MkdirAll(filepath.Join(top, own), 0o700); err != nil {
		return "", fmt.Errorf("cannot make the cold path's cache: %w", err)
	}
	others, err := os.ReadDir(top)
	if err != nil {
		return "", fmt.Errorf("cannot read the cold path's cache: %w", err)
	}
	for _, o := range others {
		if o.Name() == own || len(o.Name()) != len(own) {
			continue
		}
		for _, d := range []string{"clean", "partial", "tmp"} {
			os.RemoveAll(filepath.Join(top, o.Name(), d))
		}
		dirty, _ := os.ReadDir(filepath.Join(top, o.Name(), "dirty"))
		damaged, _ := os.ReadDir(filepath.Join(top, o.Name(), pending.DamagedDir))
		if dirty = append(dirty, damaged...); len(dirty) > 0 {
			c.log.Warn("the cold path's cache has files of another bucket or user that never reached S3; start a sandbox with that bucket and user to save them",
				"event", "cold_cache_other", "dir", filepath.Join(top, o.Name()), "files", len(dirty))
		} else {
			os.RemoveAll(filepath.Join(top, o.Name()))
		}
	}
	return filepath.Join(top, own), nil
}

// sandboxPath is a path below the root as programs in the sandbox know it, in UTF-8.
func (c *core) sandboxPath(path string) string { return filepath.Join(c.cfg.ColdPath, shown(path)) }

// background runs something beside the requests, until Close; after that nothing begins any more. With mu.
func (c *core) background(run func()) bool {
	if c.ctx.Err() != nil {
		return false
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		run()
	}()
	return true
}
