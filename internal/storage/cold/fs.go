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

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Options of New.
type Options struct {
	Config *config.Config
	Store  *objectstore.Store
	Fence  lease.Fence
	Log    *slog.Logger

	// Patience is how long S3 may say nothing before a program that waits for it gets EIO;
	// 20 s.
	Patience time.Duration

	// Quiet is how long a file is left alone before it goes up, since most of what writes a
	// file renames it or sets its times right afterwards; 250 ms.
	Quiet time.Duration
}

// FS is the cold path of one sandbox.
type FS struct {
	cfg      *config.Config
	store    *objectstore.Store
	fence    lease.Fence
	log      *slog.Logger
	prefix   string // of all keys
	ttl      time.Duration
	patience time.Duration
	quiet    time.Duration
	started  time.Time

	cache    *cache.Cache
	journal  *pending.Journal
	index    *attrIndex
	fetching chan struct{} // a place for each GET of content
	guessing chan struct{} // a place for each file that is fetched ahead

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	root   *node
	nextID uint64
	ids    map[uint64]*node // those that the kernel knows
	front  Front            // nil: not mounted

	dirtyKeys map[string]*dirtyKey
	seq       uint64                        // of changes
	ops       uint64                        // of jobs that have ended
	origins   map[string]map[*node]struct{} // nodes whose content is at another path
	deleting  map[string]int                // deletions pending below a directory
	ready     *keyHeap                      // by when they are due
	uploads   *keyHeap                      // changes, by their order
	deletes   *keyHeap                      // deletions that are due, by their order
	waiting   map[*dirtyKey]struct{}        // blocked
	parked    map[string]*dirtyKey          // deletions of markers that wait for what is in their directories
	working   int                           // jobs
	hurry     int                           // how many want that nothing rests
	progress  chan struct{}                 // closed and replaced when a job ends
	awake     chan struct{}
	conflicts int64

	compacting bool
	damaged    []contract.Unsaved // what this process had to set aside

	pass       uint32            // of listings
	listings   int               // under way
	moves      uint64            // directories renamed or removed
	gone       map[string]uint64 // what was deleted in S3 while listings are under way, and when by ops
	hiddenSeen map[uint64]uint32
	hiddenSaid bool
}

// New takes up the cold path where an earlier process left it: what is pending in the cache goes
// up. It asks S3 for nothing.
func New(o Options) (*FS, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	fs := &FS{
		cfg: o.Config, store: o.Store, fence: o.Fence, log: o.Log, prefix: o.Config.ColdPrefix(),
		ttl: o.Config.Cold.MetadataTTL, patience: o.Patience, quiet: o.Quiet, started: time.Now(),
		fetching: make(chan struct{}, fetchers), guessing: make(chan struct{}, neighbourJobs),
		ids: map[uint64]*node{}, dirtyKeys: map[string]*dirtyKey{}, origins: map[string]map[*node]struct{}{}, deleting: map[string]int{},
		ready: byDue(), uploads: byOrder(func(s *dirtyKey) *int { return &s.inUploads }), deletes: byOrder(func(s *dirtyKey) *int { return &s.inDeletes }),
		waiting: map[*dirtyKey]struct{}{}, parked: map[string]*dirtyKey{}, progress: make(chan struct{}), awake: make(chan struct{}, 1),
		gone: map[string]uint64{}, hiddenSeen: map[uint64]uint32{},
	}
	if fs.patience == 0 {
		fs.patience = 20 * time.Second
	}
	if fs.quiet == 0 {
		fs.quiet = 250 * time.Millisecond
	}
	fs.root = fs.newNode(pending.Dir) // its id is 1, FUSE_ROOT_ID
	fs.root.mode, fs.root.modeKnown, fs.root.mtimeKnown = 0o755, true, true
	fs.root.mtime, fs.root.ctime = fs.started.UnixNano(), fs.started.UnixNano()
	fs.ids[fs.root.id] = fs.root

	dir, err := fs.cacheDir()
	if err != nil {
		return nil, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("cannot tell this boot of the machine from others: %w", err)
	}
	fs.cache, err = cache.Open(cache.Options{Dir: dir, Max: o.Config.Cold.CacheMaxBytes, BootID: strings.TrimSpace(string(boot)), Log: o.Log})
	if err != nil {
		return nil, err
	}
	var found pending.Found
	fs.journal, found, err = pending.Open(dir)
	if err != nil {
		return nil, errors.Join(err, fs.cache.Close())
	}
	if fs.index, err = openIndex(fs, dir); err != nil {
		return nil, errors.Join(err, fs.journal.Close(), fs.cache.Close())
	}
	fs.ctx, fs.stop = context.WithCancel(context.Background())
	if err := fs.recover(found); err != nil {
		fs.stop()
		return nil, errors.Join(err, fs.index.close(), fs.journal.Close(), fs.cache.Close())
	}
	fs.wg.Add(2)
	go fs.dispatch()
	go func() {
		defer fs.wg.Done()
		fs.index.load()
	}()
	return fs, nil
}

// cacheDir is where this bucket's and this user's content is cached: what is pending for one
// workspace must never go up to another. What is clean of others is dropped.
func (fs *FS) cacheDir() (string, error) {
	top := fs.cfg.Cold.CachePath
	if top == "" {
		top = filepath.Join(fs.cfg.StateDir, "cold-cache")
	}
	id := sha256.Sum256([]byte(fs.cfg.S3.Endpoint + "\x00" + fs.cfg.S3.Bucket + "\x00" + fs.prefix))
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
			fs.log.Warn("the cold path's cache has files of another bucket or user that never reached S3; start a sandbox with that bucket and user to save them",
				"event", "cold_cache_other", "dir", filepath.Join(top, o.Name()), "files", len(dirty))
		} else {
			os.RemoveAll(filepath.Join(top, o.Name()))
		}
	}
	return filepath.Join(top, own), nil
}

// background runs something beside the requests, until Close; after that nothing begins any more. With mu.
func (fs *FS) background(run func()) bool {
	if fs.ctx.Err() != nil {
		return false
	}
	fs.wg.Add(1)
	go func() {
		defer fs.wg.Done()
		run()
	}()
	return true
}

// Close ends what runs in the background, and lets go of the cache. What is pending stays
// pending; Flush brings it to S3 first.
func (fs *FS) Close() error {
	fs.mu.Lock()
	fs.stop() // with mu: see background
	fs.mu.Unlock()
	fs.wg.Wait()
	return errors.Join(fs.index.close(), fs.journal.Close(), fs.cache.Close())
}
