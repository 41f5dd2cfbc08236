package hostd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// Linger is how long a keeper that nobody needs stays, so that runs that follow each
// other closely share one.
const Linger = 5 * time.Second

// Names in the keeper's directory.
const (
	lockName    = "lock"
	startName   = "start.lock"
	controlName = "control.sock"
	storeName   = "s3.sock"
	accountName = "s3-account.json"
	logName     = "log"
)

// predecessorWithin is how long a keeper waits for the lock of one that is ending.
const predecessorWithin = 20 * time.Second

// closeWithin is what the requests under way have to end in.
const closeWithin = 5 * time.Second

// Engine is what the keeper asks of the container engine.
type Engine interface {
	teardown.Engine
	Stop(ctx context.Context, id string) error
	ID() string
	Wait(ctx context.Context, id string, next bool) <-chan engine.Exit
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Close() error
}

// Options of Run.
type Options struct {
	Dir    datadir.Dir
	Log    *slog.Logger
	Linger time.Duration // 0: Linger

	// OpenEngine connects to the container engine; it is called when it is first needed.
	OpenEngine func(context.Context) (Engine, error)

	// Ready is called once, when every sandbox's socket is served.
	Ready func()

	// First, when given, is a hold that is there from the beginning, until it is closed.
	First <-chan struct{}
}

// Keeper is a running keeper.
type Keeper struct {
	Options
	ctx     context.Context // ends with the keeper
	fail    context.CancelCauseFunc
	work    sync.WaitGroup
	sockets *sockdir.Dir // its own directory
	store   embedded

	opening sync.Mutex // one sandbox's socket at a time

	mu     sync.Mutex
	served map[string]*sandbox // those that have not ended
	holds  int
	idle   *time.Timer // runs while nobody needs it
	over   bool        // it ends, and nothing new begins
}

// errIdle is the good end.
var errIdle = errors.New("nobody needs the keeper")

// Run keeps the data directory until ctx is done or nobody needs it. It returns nil then.
func Run(ctx context.Context, o Options) error {
	if o.Linger == 0 {
		o.Linger = Linger
	}
	wait, stop := context.WithTimeout(ctx, predecessorWithin)
	lock, err := datadir.LockFile(wait, filepath.Join(o.Dir.Keeper(), lockName))
	stop()
	if err != nil {
		return fmt.Errorf("another keeper has the data directory %s: %w", o.Dir.Path(), err)
	}
	defer lock.Close()
	dir, err := sockdir.Open(o.Dir.Keeper())
	if err != nil {
		return fmt.Errorf("cannot open the keeper's directory: %w", err)
	}
	defer dir.Close()

	k := &Keeper{Options: o, sockets: dir, served: make(map[string]*sandbox)}
	k.ctx, k.fail = context.WithCancelCause(ctx)
	defer k.fail(nil)
	control, err := k.listen()
	if err != nil {
		return err
	}
	k.begin()
	go control.serve()
	o.Log.Info("the keeper is ready", "event", "keeper_ready", "data_dir", o.Dir.Path(), "sandboxes", k.count())
	if o.Ready != nil {
		o.Ready()
	}
	if o.First != nil {
		k.need(+1)
		k.work.Go(func() {
			select {
			case <-o.First:
			case <-k.ctx.Done():
			}
			k.need(-1)
		})
	} else {
		k.need(0)
	}
	<-k.ctx.Done()
	err = context.Cause(k.ctx)

	// Nobody gets in any more; what is under way has a moment to end.
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer stop()
	control.close()
	k.closeAll(end)
	k.work.Wait()
	if errors.Is(err, errIdle) || ctx.Err() != nil {
		o.Log.Info("the keeper ends", "event", "keeper_end", "reason", err.Error())
		return nil
	}
	return err
}

// begin serves again whatever was served before.
func (k *Keeper) begin() {
	records, err := k.Dir.Records()
	if err != nil {
		// One that cannot be read must not keep the others from their storage.
		k.Log.Error("not every record can be read", "event", "record_unreadable", "error", err.Error())
	}
	for _, r := range records {
		if r.Ended != nil && (r.Ended.Kept || r.Ended.Removed) {
			k.outdate(r)
			continue
		}
		if err := k.serve(r.SandboxID); err != nil {
			k.Log.Error("a sandbox is without its storage", "event", "gateway_failed", "sandbox_id", r.SandboxID, "error", err.Error())
		}
	}
}

// remembered is how long a sandbox that has left nothing is remembered, with its output.
const remembered = 7 * 24 * time.Hour

// outdate forgets a sandbox that has left nothing, a long time ago.
func (k *Keeper) outdate(r datadir.Record) {
	if !r.Ended.Removed || time.Since(r.Ended.At) < remembered {
		return
	}
	sandboxDir, err := k.Dir.Sandbox(r.SandboxID)
	if err != nil {
		return
	}
	lock, err := sandboxDir.TryLock()
	if err != nil {
		return // somebody does something with it
	}
	defer lock.Unlock()
	if err := sandboxDir.Remove(); err != nil {
		k.Log.Warn("an old sandbox cannot be forgotten", "event", "forget_failed", "sandbox_id", r.SandboxID, "error", err.Error())
	}
}

func (k *Keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.served)
}

// need counts who holds on to the keeper and lets it end when there is nobody.
func (k *Keeper) need(change int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holds += change
	k.settle()
}

// settle starts or stops the timer that ends the keeper. k.mu is held.
func (k *Keeper) settle() {
	needed := k.holds > 0 || len(k.served) > 0
	switch {
	case needed && k.idle != nil:
		k.idle.Stop()
		k.idle = nil
	case !needed && k.idle == nil:
		k.idle = time.AfterFunc(k.Linger, k.expire)
	}
}

func (k *Keeper) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds == 0 && len(k.served) == 0 {
		k.over = true // whoever comes now is refused and starts another
		k.fail(errIdle)
	}
}

func (k *Keeper) closeAll(ctx context.Context) {
	k.mu.Lock()
	k.over = true
	if k.idle != nil {
		k.idle.Stop()
	}
	open := slices.Collect(maps.Values(k.served))
	k.mu.Unlock()
	for _, s := range open {
		s.close(ctx)
	}
	k.store.close() // after those that need it
}
