package hydrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/manifest"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Deps are what Run works with.
type Deps struct {
	Config   *config.Config
	Store    *objectstore.Store
	Root     *tree.Root
	Journal  *journal.Journal
	Dir      string // below the state directory: for unnamed files
	Log      *slog.Logger
	Progress *Progress  // may be nil
	Seal     lease.Seal // the lease's

	patience time.Duration // of tests; 0: usualPatience
}

// Progress is what a status shows while Run works.
type Progress struct {
	Files, Bytes         atomic.Int64 // written so far
	WantFiles, WantBytes atomic.Int64 // to be written; 0 until that is known
}

// Result is what a Run that succeeded did.
type Result struct {
	Files, Bytes         int64 // written: fetched by themselves or out of the bundle
	Bundled              int64 // of Files: out of the bundle
	Objects, ObjectBytes int64 // below hot/, excluded ones not counted
	Unchanged            int64 // were here already, by the journal
	Adopted              int64 // were here already, by their content
	Removed              int64 // were gone from S3
	Conflicts            []string
	Kept                 []contract.Unsaved
	Took                 time.Duration

	Rules    *ignore.Rules
	Manifest *manifest.Manifest // nil when there was none; the caller closes it
	Stale    int                // objects that the manifest did not vouch for
}

// disk is the home as it is, and what the journal has of it.
type disk struct{ Deps }

// listing is what S3 holds.
type listing struct {
	disk
	prefix   string // the hot prefix
	place    manifest.Place
	manifest *manifest.Manifest
	items    []item
	failing  map[int]error // items whose read failed in a way that may be the store's

	rulesAlone bool // the one item is the file with the rules
}

// run is one Run under way.
type run struct {
	listing
	fetch *fetch.Fetcher

	mounts []string // what is mounted in the home
	rules  *ignore.Rules
	home   *homeDir
	seen   map[int]tree.Info // of items that are fetched in the place of something
	empty  bool              // nothing was here

	mu   sync.Mutex
	kept map[string]bool // the keys of res.Kept
	// replaced are objects of members whose database has taken their place.
	replaced    []journal.Entry
	whole       map[string]bool // paths of databases with members in S3: whether they need none of them
	firstDenied error
	res         Result
}

func newRun(d Deps) *run {
	h := &run{
		listing: listing{
			disk: disk{d}, prefix: d.Config.HotPrefix(), failing: map[int]error{},
			place: manifest.Place{MetaPrefix: d.Config.MetaPrefix(), HotPrefix: d.Config.HotPrefix()},
		},
		fetch: fetch.New(d.Store, d.Config.HotPrefix(), d.Log),
		seen:  map[int]tree.Info{},
		kept:  map[string]bool{},
		whole: map[string]bool{},
	}
	h.home = newHomeDir(h.disk)
	return h
}

// Run hydrates. It is bounded by HYDRATE_TIMEOUT_SECONDS. On an error nothing was
// changed in S3, and another Run goes on from where it came.
func Run(ctx context.Context, d Deps) (Result, error) {
	if d.Progress == nil {
		d.Progress = new(Progress)
	}
	if t := d.Config.HydrateTimeout; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t, &TimeoutError{After: t})
		defer cancel()
	}
	h, start := newRun(d), time.Now()
	if err := h.run(ctx); err != nil {
		h.manifest.Close()
		var cause *TimeoutError
		if errors.As(context.Cause(ctx), &cause) {
			cause.Files, cause.Want = d.Progress.Files.Load(), d.Progress.WantFiles.Load()
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return Result{}, fmt.Errorf("cannot hydrate %s from s3://%s/%s: %w", d.Root.Name(), d.Config.S3.Bucket, h.prefix, err)
	}
	h.res.Took = time.Since(start)
	h.res.Rules, h.res.Manifest, h.res.Conflicts = h.rules, h.manifest, h.home.conflicts
	h.Log.Info("the home is what S3 holds", "event", "hydrated",
		"files", h.res.Files, "bytes", h.res.Bytes, "bundled", h.res.Bundled, "objects", h.res.Objects, "unchanged", h.res.Unchanged,
		"adopted", h.res.Adopted, "removed", h.res.Removed, "conflicts", len(h.res.Conflicts), "kept_in_s3", len(h.res.Kept), "took_ms", h.res.Took.Milliseconds())
	return h.res, nil
}

func (h *run) run(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			h.home.restore()
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	b := newBundle(ctx, h, g)
	g.Go(func() error {
		if err := h.look(ctx, b); err != nil {
			return err
		}
		return h.write(ctx, b)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := h.home.finish(); err != nil {
		return err
	}
	if err := h.recordReplaced(); err != nil {
		return err
	}
	settle(h.home.newest.Load())
	return h.Journal.SetHydrated()
}

// look finds out what there is to do.
func (h *run) look(ctx context.Context, b *bundle) error {
	empty, err := h.homeIsEmpty()
	if err != nil {
		return err
	}
	h.empty = empty
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.readRules(gctx) })
	g.Go(func() (err error) {
		if h.manifest, err = manifest.Load(h.patient(gctx), h.Store, h.place, h.Seal, h.Dir, h.Log); err != nil {
			return err
		}
		if empty {
			b.begin(func(int) bool { return true })
		}
		h.items, err = h.list(gctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if !empty {
		h.sweep()
	}
	if err := h.sift(); err != nil {
		return err
	}
	if err := h.dropMembers(ctx); err != nil {
		return err
	}
	if err := h.claimOwn(ctx); err != nil {
		return err
	}
	return h.judge(ctx)
}

// write brings the home to what was found.
func (h *run) write(ctx context.Context, b *bundle) error {
	if err := (remover{h}).removeGone(ctx); err != nil {
		return err
	}
	if err := (comparer{h}).compare(ctx); err != nil {
		return err
	}
	if err := h.checkSpace(ctx); err != nil {
		return err
	}
	defer h.report(ctx)()
	byThemselves, err := b.share()
	if err != nil {
		return err
	}
	if err := h.fetchAll(ctx, byThemselves); err != nil {
		return err
	}
	if err := h.fetchAll(ctx, b.wait()); err != nil {
		return err
	}
	if err := (retrier{h}).retryFailing(ctx); err != nil {
		return err
	}
	return h.allDenied()
}

// homeIsEmpty says that nothing is here that anything has to be compared with.
func (h *disk) homeIsEmpty() (bool, error) {
	if h.Journal.Len() > 0 {
		return false, nil
	}
	for _, err := range h.Root.Entries("") {
		return false, err
	}
	return true, nil
}

// sweep removes the temporary files of a hydrate that was broken off.
func (h *run) sweep() {
	n, err := h.Root.RemoveTemps(func(dir string) bool { return h.rules.Match(dir, true) })
	if n > 0 {
		h.Log.Info("temporary files of an earlier start were removed", "event", "temps_removed", "files", n)
	}
	if err != nil {
		h.Log.Warn("not every directory could be searched for temporary files", "event", "temps_not_removed", "error", err)
	}
}

// reportEvery is how often a long hydrate says how far it is.
const reportEvery = 10 * time.Second

func (h *run) report(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p := h.Progress
				h.Log.Info("hydrating", "event", "hydrate_progress", "files", p.Files.Load(), "of_files", p.WantFiles.Load(), "bytes", p.Bytes.Load(), "of_bytes", p.WantBytes.Load())
			}
		}
	}()
	return func() { cancel(); <-done }
}
