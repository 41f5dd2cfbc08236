package hot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/hydrate"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// Options are what a Syncer works with.
type Options struct {
	Config *config.Config
	Store  *objectstore.Store
	Fence  lease.Fence
	Log    *slog.Logger

	// Problem is told what an operator should know, in one sentence; "" when it is over. May be nil.
	Problem func(string)
}

// Syncer keeps one home. Hydrate or Resume comes first, then Run, and Flush and Checkpoint
// while that runs.
type Syncer struct {
	Options
	*home
	*pending
	stateDir string // the journal's, and for files without a name

	publisher *manifest.Publisher
	sender    *upload.Sender
	progress  hydrate.Progress

	obs  *observer
	runs chan struct{} // closed when Run has begun

	// These are behind the lock of what is pending.
	hydrated *hydrate.Result // nil before
	verify   verifyQueue
	lost     error // another sandbox has the lease
	breaker  breaker
	flushing int // how many wait for everything to go at once
	yielding int // jobs that wait for others
	quiesced bool
	limit    limiter
	last     string // the problem that was told last

	manifestAt time.Time // when the manifest was written; zero: there is none
	saved      bool      // a flush has saved everything
	ended      bool      // Run has, and with it all that was under way

	beforeRun func(*observer)  // of tests
	wall      func() time.Time // of tests; nil: time.Now
}

// New makes a Syncer. It touches neither the home nor S3.
func New(o Options) (*Syncer, error) {
	h := &home{exclude: o.Config.Hot.Exclude, log: o.Log}
	rules := queue.Rules{Quiet: o.Config.Hot.Quiet, MaxStaleness: o.Config.Hot.MaxStaleness, Bulk: upload.LargeSize + 1, BulkMost: upload.LargeMost}
	return &Syncer{
		Options: o, stateDir: filepath.Join(o.Config.StateDir, "hot"), runs: make(chan struct{}), limit: newLimiter(),
		home: h, pending: newPending(h, rules),
	}, nil
}

// open opens the home and the journal.
func (e *Syncer) open() error {
	cfg := e.Config
	root, err := tree.Open(cfg.HotPath)
	if err != nil {
		return fmt.Errorf("%w; check HOT_PATH", err)
	}
	id, err := root.Identity()
	if err != nil {
		root.Close()
		return err
	}
	on, err := root.FileSystem()
	if err != nil {
		root.Close()
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		root.Close()
		return err
	}
	j, err := journal.Open(e.stateDir, journal.Identity{
		Bucket: cfg.S3.Bucket, Prefix: cfg.UserPrefix(), FileSystem: on, Ino: id.Ino, Btime: id.Btime, BootID: strings.TrimSpace(string(boot)),
	})
	if err != nil {
		root.Close()
		return fmt.Errorf("%w; SANDBOX_STATE_DIR=%s must be a directory that can be written", err, cfg.StateDir)
	}
	e.root, e.rootDev, e.journal = root, id.Dev, j
	e.publisher = manifest.NewPublisher(manifest.Options{
		Store: e.Store, Fence: e.Fence, Root: root, Journal: j, Dir: e.stateDir, Log: e.Log,
		Place: manifest.Place{MetaPrefix: cfg.MetaPrefix(), HotPrefix: cfg.HotPrefix()},
	})
	e.sender, err = upload.New(upload.Options{
		Store: e.Store, Fence: e.Fence, Root: root, Journal: j, Fetch: fetch.New(e.Store, cfg.HotPrefix(), e.Log),
		Prefix: cfg.HotPrefix(), SandboxID: cfg.SandboxID, TempDir: e.stateDir, Log: e.Log,
		Rules: e.rules.Load, Moved: e.movedEntry, Before: e.before, Remember: e.remember, Now: e.wall,
	})
	return err
}

// Hydrate brings the home to what S3 holds. seal is the lease's.
func (e *Syncer) Hydrate(ctx context.Context, seal lease.Seal) (wire.Hydrated, error) {
	if err := e.open(); err != nil {
		return wire.Hydrated{}, err
	}
	res, err := hydrate.Run(ctx, hydrate.Deps{
		Config: e.Config, Store: e.Store, Root: e.root, Journal: e.journal, Dir: e.stateDir, Log: e.Log, Progress: &e.progress,
		Seal: seal,
	})
	if err != nil {
		return wire.Hydrated{}, err
	}
	e.rules.Store(res.Rules)
	if res.Manifest != nil {
		e.manifestAt = res.Manifest.Created
	}
	e.publisher.Adopt(res.Manifest, res.Stale)
	e.begin(res)
	return wire.Hydrated{Files: res.Files, Bytes: res.Bytes, Took: res.Took}, nil
}

// Resume goes on from the journal of a process that was killed while the workload ran.
func (e *Syncer) Resume(ctx context.Context) error {
	if err := e.open(); err != nil {
		return err
	}
	if !e.journal.Hydrated() {
		return errors.New("cannot go on from the journal: the home was not hydrated with it; start the sandbox anew")
	}
	if err := e.loadRules(); err != nil {
		return err
	}
	e.begin(hydrate.Result{})
	return nil
}

func (e *Syncer) begin(res hydrate.Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.conflicts = int64(len(res.Conflicts))
	res.Rules, res.Manifest = nil, nil
	e.hydrated = &res
	for _, path := range e.journal.Tombstones() {
		e.noteMovedLocked(path)
	}
}

// Run watches the home and saves changes until ctx ends.
func (e *Syncer) Run(ctx context.Context) error {
	e.mu.Lock()
	ready := e.hydrated != nil
	e.mu.Unlock()
	if !ready {
		return errors.New("the home is not hydrated: nothing may be uploaded or deleted")
	}
	e.obs = newObserver(e.home, e.pending)
	// What a process before this one has sent may have arrived, and the file may be gone by now: no comparison with what
	// the journal knows to be stored finds that.
	e.obs.look(e.journal.Unanswered()...)
	if e.beforeRun != nil {
		e.beforeRun(e.obs)
	}
	close(e.runs)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var failed error
	all.Go(func() {
		if err := e.obs.run(ctx); err != nil {
			failed = err
			cancel(err)
		}
	})
	all.Go(func() { e.dispatch(ctx) })
	all.Go(func() { e.publishNowAndThen(ctx) })
	all.Wait()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

// Seal is what the holders of the lease to come may be told of the manifest: none before Run has ended, and none
// after a flush that left something out.
func (e *Syncer) Seal() lease.Seal {
	e.mu.Lock()
	known := e.ended && e.saved
	e.mu.Unlock()
	if !known {
		return lease.Seal{}
	}
	return e.publisher.Seal()
}

// Close lets the home and the journal go. Nothing may be under way any more.
func (e *Syncer) Close() error {
	if e.journal == nil {
		return nil
	}
	return errors.Join(e.publisher.Close(), e.journal.Close(), e.root.Close())
}

// publishEvery is how often is looked whether the manifest is stale.
const publishEvery = time.Minute

func (e *Syncer) publishNowAndThen(ctx context.Context) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	var seen map[string]bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		seen = e.strays(ctx, seen)
		if !e.publisher.Due() {
			continue
		}
		e.publish(ctx)
	}
}

// publish writes the manifest. That it fails costs the next start time, and nothing else.
func (e *Syncer) publish(ctx context.Context) {
	p, err := e.publisher.Publish(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Warn("the manifest was not written; the next start takes longer", "event", "manifest_failed", "error", err)
		}
		return
	}
	e.Log.Info("the manifest was written", "event", "manifest", "entries", p.Entries, "bytes", p.Bytes, "bundled", p.Bundled, "took_ms", p.Took.Milliseconds())
	e.mu.Lock()
	e.manifestAt = time.Now()
	e.mu.Unlock()
}
