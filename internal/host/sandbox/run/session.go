package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// session is one run of one sandbox, from the record to the end.
type session struct {
	Options
	out        Output
	dir        datadir.Dir
	sandboxDir datadir.Sandbox
	record     datadir.Record
	engine     *engine.Engine

	image        chan inspected
	lock         *datadir.Lock
	ensuring     <-chan ensured // see awaitDaemon
	stopEnsuring context.CancelFunc
	daemon       *hostd.Client
	hold         *hostd.Hold

	credentials hostd.Credentials // see environmentCredentials

	// diskLimited says that its disk must have a limit, or it is not started.
	diskLimited bool

	// creating says that the engine was asked for a container.
	creating bool

	began time.Time
	steps steps
}

// inspected is the engine's answer to what the image is.
type inspected struct {
	image engine.Image
	err   error
}

// Run runs a sandbox and returns the exit code: the container's, once there was one. An
// error says that there was none, or that its end could not be learnt.
func Run(ctx context.Context, o Options, s Streams, out Output) (int, error) {
	// A signal that comes now ends ctx as well, and is counted once: see signalQueue.
	signals := catchSignals()
	defer signals.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	r, err := o.record()
	if err != nil {
		return 0, err
	}
	x, err := newSession(ctx, o, r, out)
	if err != nil {
		return 0, err
	}
	defer x.close()
	if x.record.Dirs = keepsDirs(x.engine.Machine()); !x.record.Dirs {
		x.record.Volumes = volumeNames(x.record.SandboxID)
	}
	if x.lock, err = claim(x.sandboxDir, x.record); err != nil {
		return 0, err
	}
	x.steps.done("record")
	return x.run(ctx, s, signals)
}

// Save starts what a sandbox that was killed, or could not save everything, has kept of
// home and state once more, with a command that does nothing: what is not in S3 yet goes up.
func Save(ctx context.Context, o Options, id string, s Streams, out Output) (int, error) {
	signals := catchSignals()
	defer signals.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	dir, err := datadir.Open(o.DataDir)
	if err != nil {
		return 0, err
	}
	sandboxDir, err := dir.Sandbox(id)
	if err != nil {
		return 0, err
	}
	lock, err := sandboxDir.TryLock()
	if errors.Is(err, datadir.ErrCaredFor) {
		return 0, fmt.Errorf("cannot save the sandbox %s: it has not ended; `sandbox stop %s` ends it and saves", id, id)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot save the sandbox %s: %w", id, err)
	}
	r, err := sandboxDir.Load()
	if err == nil && (r.Ended == nil || !r.Ended.Kept) {
		err = fmt.Errorf("cannot save the sandbox %s: nothing of it is left to save", id)
	}
	if err != nil {
		lock.Unlock()
		return 0, err
	}
	if o.Image != "" && o.Image != r.Image {
		r.Image, r.ImageID = o.Image, ""
	}
	o.Image, o.Command = r.Image, []string{"true"}
	old := r.Container
	r.Fresh, r.Command = false, o.Command
	x, err := newSession(ctx, o, r, out)
	if err != nil {
		lock.Unlock()
		return 0, err
	}
	x.lock = lock
	defer x.close()
	if err := errors.Join(sandboxDir.Unseal(), sandboxDir.Marks().Clear()); err != nil {
		return 0, err
	}
	// The old container holds the name, and nothing that a new one does not have: its
	// output is kept, home and state are beside it.
	if old != "" {
		err := teardown.KeepOutput(ctx, x.engine, sandboxDir, r)
		if err == nil {
			err = sandboxDir.SetLogAside()
		}
		if err == nil {
			err = x.engine.Remove(ctx, old, false)
		}
		if err != nil {
			return 0, err
		}
	}
	return x.run(ctx, s, signals)
}

func newSession(ctx context.Context, o Options, r datadir.Record, out Output) (*session, error) {
	r.Container, r.Ended = "", nil
	x := &session{Options: o, record: r, out: out, began: time.Now()}
	x.avoidGVisorFUSE()
	x.steps = steps{o.Trace, x.began}
	var err error
	if x.credentials, err = environmentCredentials(r); err != nil {
		return nil, err
	}
	x.record.Store.AccessKey = x.credentials.AccessKey
	if x.dir, err = datadir.Open(o.DataDir); err != nil {
		return nil, err
	}
	if x.sandboxDir, err = x.dir.Sandbox(r.SandboxID); err != nil {
		return nil, err
	}
	x.ensureDaemon(ctx)
	over := out.waiting("the container engine to answer")
	x.engine, err = engine.OpenKnown(ctx, engine.Memory{Path: x.dir.EngineFile()})
	over()
	if err != nil {
		x.close()
		return nil, err
	}
	x.steps.done("engine")
	x.record.Engine, x.record.EngineHost = x.engine.ID(), x.engine.Host()
	x.image = make(chan inspected, 1)
	go func(r datadir.Record) { // beside the record, which is written to the disk
		image, err := inspectImage(ctx, x.engine, r)
		x.image <- inspected{image, err}
	}(x.record)
	return x, nil
}

func (x *session) close() {
	x.leaveDaemon()
	x.release()
	if x.engine != nil {
		x.engine.Close()
	}
}

// release gives up the sandbox's lock.
func (x *session) release() {
	if x.lock != nil {
		x.lock.Unlock()
		x.lock = nil
	}
}

// run is the rest: record, daemon, store, container, end. The signals have been caught since before
// the record was made.
func (x *session) run(ctx context.Context, s Streams, signals *signalQueue) (int, error) {
	out, written := x.out.later()
	x.out = out
	code, err := x.bring(ctx, s, signals)
	if errors.Is(err, errLeft) {
		return code, err
	}
	// All that was said is read, or given up at a signal.
	for _, w := range written() {
		select {
		case <-w:
		case <-signals.c:
			return code, err
		}
	}
	return code, err
}

func (x *session) bring(ctx context.Context, s Streams, signals *signalQueue) (int, error) {
	making, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if x.sandboxDir.Marks().AwaitStop(making) == nil {
			cancel(errStopped)
		}
	}()
	spec, err := x.prepare(making)
	if err == nil {
		err = context.Cause(making)
	}
	if err != nil {
		if errors.Is(context.Cause(making), errStopped) {
			err = errStopped
		}
		return x.undo(err)
	}
	// From here on the sandbox is stopped, not dropped, when this program is told to end.
	f, err := x.start(context.WithoutCancel(ctx), making, spec, s)
	if err != nil {
		return x.undo(err)
	}
	if x.Detach {
		return x.leave(f, signals)
	}
	return x.follow(f, signals)
}

// errStopped says that the sandbox was stopped from outside before it had started.
var errStopped = errors.New("the sandbox was stopped before it had started")

// prepare makes everything but the container.
func (x *session) prepare(ctx context.Context) (engine.Spec, error) {
	none := engine.Spec{}
	if !x.record.Fresh { // else it is written already
		if err := x.sandboxDir.Save(x.record); err != nil {
			return none, err
		}
	}
	var found inspected
	select {
	case found = <-x.image:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	image, err := found.image, found.err
	if err == nil {
		err = x.checkDigest(image)
	}
	if err != nil {
		return none, err
	}
	x.steps.done("image")
	x.record.ImageID = image.ID // recorded by decide, and run from now on
	if err := x.decide(ctx, image); err != nil {
		return none, err
	}
	x.record.Confinement.AppArmor = x.confineByAppArmor(ctx)
	x.steps.done("limits and access")
	over := x.out.waiting("the daemon to be ready")
	err = x.awaitDaemon()
	over()
	if err != nil {
		return none, err
	}
	x.steps.done("daemon")
	if err := x.authorize(ctx); err != nil {
		return none, err
	}
	if err := x.daemon.Serve(ctx, x.record.SandboxID); err != nil {
		return none, fmt.Errorf("cannot serve the sandbox's storage: %w", err)
	}
	x.steps.done("socket")
	over = x.out.waiting("the store of s3://%s/%s to answer", x.record.Store.Bucket, x.record.UserPrefix())
	holder, err := readLease(ctx, x.sandboxDir, x.record)
	over()
	if err != nil {
		return none, err
	}
	instance, err := takeover(ctx, x.engine, x.dir, holder)
	if err != nil {
		return none, err
	}
	x.steps.done("lease")
	if err := x.prepareVolumes(ctx); err != nil {
		return none, err
	}
	spec := x.spec(x.dir, x.sandboxDir, x.record, x.shutdown(image), instance)
	spec.Confinement, err = x.confinement(x.record, coldPath(image.Env, spec.Env))
	return spec, err
}
