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
	"sync/atomic"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/hydrate"
	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// Options are what an Engine works with.
type Options struct {
	Config *config.Config
	Store  *objectstore.Store
	Fence  lease.Fence
	Log    *slog.Logger

	// Problem is told what an operator should know, in one sentence; "" when it is over. May be nil.
	Problem func(string)
}

// Engine keeps one home. Hydrate or Resume comes first, then Run, and Flush and Checkpoint
// while that runs.
type Engine struct {
	Options
	stateDir string // the journal's, and for files without a name

	root      *tree.Root
	rootDev   uint64
	journal   *journal.Journal
	rules     atomic.Pointer[ignore.Rules]
	publisher *manifest.Publisher
	sender    *upload.Sender
	progress  hydrate.Progress

	behind atomic.Bool // the journal could not be written

	clock time.Time // line.Time counts from here, on the monotonic clock
	kick  chan struct{}
	obs   *observer
	runs  chan struct{} // closed when Run has begun

	mu       sync.Mutex
	line     *queue.Line
	hydrated *hydrate.Result // nil before
	waiters  chan struct{}   // closed and made anew whenever something has ended
	moved    map[uint64]string
	failed   map[string]failure // why pending names are not stored
	inTheWay map[string]bool    // pending writes that something in S3 excludes, which was looked at
	restless map[string]int     // pending files that were not at rest, and how often in a row
	odd      map[string]string  // sockets and the like, and directories that cannot be read
	verify   verifyQueue
	holds    [holdReasons]string
	held     string // why deletions are held back: the first of holds
	lost     error  // another sandbox has the lease
	breaker  breaker
	hurry    int // how many wait for everything to go at once
	yielding int // jobs that wait for others
	alone    bool
	limit    limiter
	counts   counts
	last     string // the problem that was told last

	manifestAt time.Time // when the manifest was written; zero: there is none

	beforeRun func(*observer)  // of tests
	wall      func() time.Time // of tests; nil: time.Now
}

// counts since the process started.
type counts struct {
	uploaded, bytes, conflicts, rescans int64
	success                             time.Time
	watchLimit                          bool
}

// New makes an Engine. It touches neither the home nor S3.
func New(o Options) (*Engine, error) {
	e := &Engine{
		Options: o, stateDir: filepath.Join(o.Config.StateDir, "hot"),
		clock: time.Now(), kick: make(chan struct{}, 1), runs: make(chan struct{}),
		line:    queue.New(queue.Rules{Quiet: o.Config.Hot.Quiet, MaxStaleness: o.Config.Hot.MaxStaleness}),
		waiters: make(chan struct{}), moved: map[uint64]string{}, failed: map[string]failure{},
		inTheWay: map[string]bool{}, restless: map[string]int{}, odd: map[string]string{}, limit: newLimiter(),
	}
	return e, nil
}

// now is the line's time.
func (e *Engine) now() queue.Time { return time.Since(e.clock) }

// open opens the home and the journal.
func (e *Engine) open() error {
	cfg := e.Config
	root, err := tree.Open(cfg.HotPath)
	if err != nil {
		return fmt.Errorf("%w; check HOT_PATH", err)
	}
	home, err := root.Identity()
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
		Bucket: cfg.S3.Bucket, Prefix: cfg.UserPrefix(), FileSystem: on, Ino: home.Ino, Btime: home.Btime, BootID: strings.TrimSpace(string(boot)),
	})
	if err != nil {
		root.Close()
		return fmt.Errorf("%w; SANDBOX_STATE_DIR=%s must be a directory that can be written", err, cfg.StateDir)
	}
	e.root, e.rootDev, e.journal = root, home.Dev, j
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

// Hydrate brings the home to what S3 holds.
func (e *Engine) Hydrate(ctx context.Context) (wire.Hydrated, error) {
	if err := e.open(); err != nil {
		return wire.Hydrated{}, err
	}
	res, err := hydrate.Run(ctx, hydrate.Deps{
		Config: e.Config, Store: e.Store, Root: e.root, Journal: e.journal, Dir: e.stateDir, Log: e.Log, Progress: &e.progress,
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
func (e *Engine) Resume(ctx context.Context) error {
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

func (e *Engine) begin(res hydrate.Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.conflicts = int64(len(res.Conflicts))
	res.Rules, res.Manifest = nil, nil
	e.hydrated = &res
	for _, path := range e.journal.AllGone() {
		e.noteMoved(path)
	}
}

// Run watches the home and saves changes until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	ready := e.hydrated != nil
	e.mu.Unlock()
	if !ready {
		return errors.New("the home is not hydrated: nothing may be uploaded or deleted")
	}
	e.obs = newObserver(e)
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
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

// Close lets the home and the journal go. Nothing may be under way any more.
func (e *Engine) Close() error {
	if e.journal == nil {
		return nil
	}
	return errors.Join(e.publisher.Close(), e.journal.Close(), e.root.Close())
}

// publishEvery is how often is looked whether the manifest is stale.
const publishEvery = time.Minute

func (e *Engine) publishNowAndThen(ctx context.Context) {
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
func (e *Engine) publish(ctx context.Context) {
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

// wake makes the dispatcher look again.
func (e *Engine) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// ended tells those who wait that something has ended. With the lock held.
func (e *Engine) ended() {
	close(e.waiters)
	e.waiters = make(chan struct{})
	e.wake()
}

// noteMoved lets a rename find the object of a path that is to be deleted. With the lock held.
func (e *Engine) noteMoved(path string) {
	if entry, ok := e.journal.Get(path); ok && !entry.IsMarker() && entry.Size > 0 {
		e.moved[entry.Local.Ino] = path
	}
}

// movedEntry is upload.Options.Moved.
func (e *Engine) movedEntry(ino uint64) (journal.Entry, bool) {
	e.mu.Lock()
	path, ok := e.moved[ino]
	e.mu.Unlock()
	if !ok || !e.journal.IsGone(path) {
		return journal.Entry{}, false
	}
	return e.journal.Get(path)
}

// remember is told how each writing of the journal went. A journal that cannot be written
// stops nothing (see package journal), and is said once.
func (e *Engine) remember(err error) {
	failed := err != nil
	if e.behind.Swap(failed) == failed {
		return
	}
	if failed {
		e.Log.Error("the journal is behind", "event", "journal_failed", "error", err)
	} else {
		e.Log.Info("the journal has caught up", "event", "journal_written")
	}
}

// unsavedPath is where the list of what is missing is.
func (e *Engine) unsavedPath() string {
	return filepath.Join(e.Config.StateDir, contract.UnsavedFileName)
}
