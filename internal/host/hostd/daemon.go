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

// linger is how long a daemon that no program needs stays, so that runs that follow each
// other closely share one.
const linger = 5 * time.Second

// Names in the daemon's directory.
const (
	lockName    = "lock"
	startName   = "start.lock"
	controlName = "control.sock"
	storeName   = "s3.sock"
	logName     = "log"
)

// predecessorWithin is how long a daemon waits for the lock of one that is ending.
const predecessorWithin = 20 * time.Second

const forever = 100 * 365 * 24 * time.Hour

// closeWithin is what the requests under way have to end in.
const closeWithin = 5 * time.Second

// Engine is what the daemon asks of the container engine.
type Engine interface {
	teardown.Engine
	Stop(ctx context.Context, id string) error
	Volumes(ctx context.Context, labels ...string) ([]string, error)
	Wait(ctx context.Context, id string, next bool) <-chan engine.Exit
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Close() error
}

// Options of Run.
type Options struct {
	Dir    datadir.Dir
	Log    *slog.Logger
	Linger time.Duration // 0: Linger

	// OpenEngine connects to the container engine at a host, empty: the one of this process's environment.
	// It is called when it is first needed.
	OpenEngine func(ctx context.Context, host string) (Engine, error)

	// Ready is called once, when every sandbox's socket is served.
	Ready func()

	// secrets, when given, is a vault that the guard has as well.
	secrets *vault
	// Stay keeps the daemon when no program needs it, and makes it wait for the end of another one: for a
	// supervisor that starts it.
	Stay bool

	// Drain, when closed, has the daemon stop its sandboxes and end when all have ended.
	Drain <-chan struct{}

	// First, when given, is a hold that is there from the beginning, until it is closed.
	First <-chan struct{}
}

// Daemon is a running daemon.
type Daemon struct {
	Options
	ctx     context.Context // ends with the daemon
	fail    context.CancelCauseFunc
	work    sync.WaitGroup
	sockets *sockdir.Dir // its own directory
	store   embedded

	opening sync.Mutex // one sandbox's socket at a time

	emptier *emptier

	sweeping sync.Mutex
	ended    map[string]past // those that are remembered, guarded by sweeping

	neverBegan neverBegan
	swept      chan struct{} // asks for a sweep

	mu     sync.Mutex
	served map[string]*sandbox // those that have not ended
	holds  int                 // programs, and work of its own, that need it
	idle   *time.Timer         // runs while none does
	drains bool                // its sandboxes are being stopped
	over   bool                // it ends, and nothing new begins
}

// errIdle is the good end.
var errIdle = errors.New("no sandbox and no program needs the daemon")

// run keeps the data directory until ctx is done or no program needs it. It returns nil then.
func run(ctx context.Context, o Options) error {
	if o.Linger == 0 {
		o.Linger = linger
	}
	within := predecessorWithin
	if o.Stay {
		within = forever
	}
	wait, stop := context.WithTimeout(ctx, within)
	lock, err := datadir.LockFile(wait, filepath.Join(o.Dir.Hostd(), lockName))
	stop()
	if err != nil {
		return fmt.Errorf("another daemon has the data directory %s: %w", o.Dir.Path(), err)
	}
	defer lock.Close()
	dir, err := sockdir.Open(o.Dir.Hostd())
	if err != nil {
		return fmt.Errorf("cannot open the daemon's directory: %w", err)
	}
	defer dir.Close()

	if o.secrets == nil {
		if o.secrets, err = newVault(); err != nil {
			return err
		}
	}
	d := &Daemon{Options: o, sockets: dir, served: make(map[string]*sandbox), swept: make(chan struct{}, 1), ended: make(map[string]past)}
	d.ctx, d.fail = context.WithCancelCause(ctx)
	defer d.fail(nil)
	d.emptier = newEmptier(d, o.Dir.Trash().RemoveGently)
	control, err := d.listen()
	if err != nil {
		return err
	}
	d.sweepRecords() // the rest waits for the engine, which may be away
	d.work.Go(d.sweepOn)
	d.work.Go(d.drainOn)
	go control.serve()
	o.Log.Info("the daemon is ready", "event", "daemon_ready", "data_dir", o.Dir.Path(), "sandboxes", d.count())
	if o.Ready != nil {
		o.Ready()
	}
	if o.First != nil {
		d.need(+1)
		d.work.Go(func() {
			select {
			case <-o.First:
			case <-d.ctx.Done():
			}
			d.need(-1)
		})
	} else {
		d.need(0)
	}
	<-d.ctx.Done()
	err = context.Cause(d.ctx)

	// No request gets in any more; what is under way has a moment to end.
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer stop()
	control.close(end)
	d.closeAll(end)
	d.work.Wait()
	if errors.Is(err, errIdle) || errors.Is(err, errHandover) || ctx.Err() != nil {
		o.Log.Info("the daemon ends", "event", "daemon_end", "reason", err.Error())
		return nil
	}
	return err
}

func (d *Daemon) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.served)
}

// need counts what holds on to the daemon and lets it end when nothing does.
func (d *Daemon) need(change int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds += change
	d.settle()
}

// settle starts or stops the timer that ends the daemon. d.mu is held.
func (d *Daemon) settle() {
	needed := d.Stay || d.holds > 0 || len(d.served) > 0
	switch {
	case d.drains:
		if len(d.served) == 0 {
			d.over = true
			d.fail(errIdle)
		}
	case needed && d.idle != nil:
		d.idle.Stop()
		d.idle = nil
	case !needed && d.idle == nil:
		d.idle = time.AfterFunc(d.Linger, d.expire)
	}
}

// expire ends the daemon if it is still not needed, after a last look.
func (d *Daemon) expire() {
	d.sweep()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.Stay && d.holds == 0 && len(d.served) == 0 {
		d.over = true // a program that comes now is refused and starts another
		d.fail(errIdle)
	}
}

func (d *Daemon) closeAll(ctx context.Context) {
	d.mu.Lock()
	d.over = true
	if d.idle != nil {
		d.idle.Stop()
	}
	open := slices.Collect(maps.Values(d.served))
	d.mu.Unlock()
	for _, s := range open {
		s.close(ctx)
	}
	d.store.close() // after those that need it
}
