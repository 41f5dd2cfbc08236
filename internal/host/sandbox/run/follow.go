package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/teardown"
)

// Streams are what a sandbox's are joined to.
type Streams struct {
	In  *os.File
	Out io.Writer
	Err io.Writer
}

// flight is a container that has been started.
type flight struct {
	ended   <-chan engine.Exit
	late    <-chan error     // the time limit has passed, see teardown.Deadline
	onTime  func()           // gives up waiting for it
	streams *engine.Attached // nil: the program does not listen
	land    func()           // gives back the terminal
}

// start makes the container, joins the streams and starts it, in this order: nothing that
// it says, and no end of it, is missed. An engine that is slow has toldWithin from the end of making on.
func (x *session) start(ctx, making context.Context, spec engine.Spec, s Streams) (*flight, error) {
	asking, asked := outlast(making)
	defer asked()
	if x.TTY && x.Interactive && !terminal.Is(s.In) {
		return nil, errors.New("cannot give the sandbox a terminal: the input is none; leave out -t")
	}
	x.creating = true
	x.steps.done("home and seccomp")
	over := x.out.waiting("the container engine to make the container")
	id, err := x.create(asking, spec)
	over()
	if errors.Is(err, engine.ErrNameTaken) {
		err = fmt.Errorf("%w by a sandbox of the same ID that another data directory knows; choose another --sandbox-id", err)
	}
	if err != nil {
		return nil, err
	}
	x.record.Container = id
	x.steps.done("create")
	// Beside the questions that follow: it is on the disk before the container starts.
	saved := make(chan error, 1)
	go func(r datadir.Record) { saved <- x.sandboxDir.Save(r) }(x.record)
	f := &flight{land: func() {}}
	if !x.Detach {
		streams := engine.Streams{TTY: x.TTY, Out: s.Out, Err: s.Err}
		if x.Interactive {
			streams.In = s.In
		}
		f.streams, err = x.engine.Attach(asking, id, streams)
	}
	f.ended = x.engine.Wait(ctx, id, true)
	if err = errors.Join(err, <-saved); err != nil {
		return nil, err
	}
	if x.sandboxDir.Marks().Stop() {
		return nil, errStopped
	}
	defer x.out.waiting("the container engine to start the container")()
	x.steps.done("attach")
	if err := x.engine.Start(asking, id); err != nil {
		return nil, err
	}
	x.steps.done("start")
	if err := x.recordLife(ctx, f); err != nil {
		x.out.say("%v", err) // it is kept then where it could have been removed
	}
	counting, onTime := context.WithCancel(ctx)
	f.onTime = onTime
	f.late = teardown.Deadline(counting, x.engine, x.sandboxDir, x.record)
	if x.TTY && terminal.Is(s.In) {
		f.takeTerminal(ctx, x.engine, id, s.In, x.Interactive)
	}
	x.out.started(x.record)
	return f, nil
}

// toldWithin is how long an engine may take to make and start a container once the sandbox is told to end: a
// start that is answered is stopped well, and one that is not must not hang this program.
const toldWithin = 10 * time.Second

// outlast is a context that ends toldWithin after another one.
func outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(toldWithin):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// sayWorkspace says that the workspace takes its time: another sandbox holds it, or there is much to fetch.
func (x *session) sayWorkspace(ctx context.Context) (over func()) {
	ctx, stop := context.WithCancel(ctx)
	said := x.out.waiting("the workspace of %s: its lease, or its files", x.record.UserID)
	go func() {
		defer said()
		_, _ = x.sandboxDir.AwaitState(ctx, func(st contract.State) bool {
			return st.Ready || st.Phase != contract.PhaseBoot && st.Phase != contract.PhaseHydrate
		})
	}()
	return stop
}

// recordLife writes down which life is the container's first. One that has ended already may have been
// started again, by another client of the engine.
func (x *session) recordLife(ctx context.Context, f *flight) error {
	c, err := x.engine.Inspect(ctx, x.record.Container)
	if err != nil {
		return err
	}
	select {
	case exit := <-f.ended:
		again := make(chan engine.Exit, 1)
		again <- exit
		f.ended = again
		return nil
	default:
	}
	x.record.FirstLife = c.Began
	return x.sandboxDir.Save(x.record)
}

// takeTerminal gives the operator's terminal to the container.
func (f *flight) takeTerminal(ctx context.Context, e *engine.Engine, id string, in *os.File, keys bool) {
	restore := func() {}
	if keys {
		if r, err := terminal.Raw(in); err == nil {
			restore = r
		}
	}
	ctx, stop := context.WithCancel(ctx)
	go terminal.Sizes(ctx, in, func(w, h int) {
		_ = e.Resize(ctx, id, w, h) // one that has ended has no size
	})
	f.land = func() {
		stop()
		restore()
	}
}

// follow waits for the container's end and brings the sandbox to its own.
func (x *session) follow(f *flight, signals *signalQueue) (int, error) {
	ctx := context.Background()
	defer f.onTime()
	defer f.streams.Close()
	defer f.land()
	defer x.sayWorkspace(ctx)()
	output, ended := f.streams.Done(), f.ended
	lost := x.hold.Lost()
	regained := make(chan *hostd.Hold, 1)
	stopper := stopper{x: x}
	defer stopper.close()
	if x.sandboxDir.Marks().Stop() { // see endNow
		stopper.begin(ctx)
	}
	var (
		exit      engine.Exit
		slow      <-chan time.Time // its reader has not taken all of the output
		impatient <-chan time.Time // and does not get the time to
		end       = sync.OnceValues(func() (int, error) { return x.end(ctx, exit.Code) })
	)
	for output != nil || ended != nil {
		select {
		case sig := <-signals.c:
			if forwards(sig) {
				go stopper.send(ctx, signalName(sig))
				continue
			}
			if ended == nil {
				impatient = time.After(readerWithin)
			} else if stopper.signal(ctx) {
				return x.left(sig)
			}
		case err := <-output:
			output = nil
			if errors.Is(err, syscall.EPIPE) && stopper.times == 0 {
				// The reader is gone. The workload cannot be told by a closed pipe: the
				// engine reads on.
				stopper.signal(ctx)
			}
			x.cut(err)
		case <-slow:
			// That it does not read is no reason to keep what the sandbox has used, nor its lock.
			if _, err := end(); err == nil {
				x.release()
			}
			x.out.say("waiting for the reader of the sandbox's output; Ctrl-C gives it up")
		case <-impatient:
			output = nil
			x.cut(errNotRead)
		case <-lost:
			lost = nil
			go x.regain(ctx, regained)
		case h := <-regained:
			x.hold, lost = h, h.Lost()
		case err := <-stopper.failed:
			x.out.say("%v", err)
		case err := <-f.late:
			x.late(err)
		case exit = <-ended:
			ended = nil
			if errors.Is(exit.Err, engine.ErrNoContainer) {
				exit = engine.Exit{Code: exitFailure} // another client of the engine removed it
			}
			if exit.Err != nil {
				ended = x.again(ctx, exit.Err)
				continue
			}
			stopper.close()
			slow = time.After(waitingAfter) // the engine closes the stream when all has been sent
			if stopper.times >= 2 {
				impatient = time.After(readerWithin)
			}
		}
	}
	f.land()
	return end()
}

// again waits for the container's end after the connection to the engine broke: that says nothing about the
// sandbox, whose exit code the engine still has.
func (x *session) again(ctx context.Context, cause error) <-chan engine.Exit {
	x.out.say("lost sight of the sandbox %s: %v; trying again", x.record.SandboxID, cause)
	out := make(chan engine.Exit, 1)
	go func() {
		for {
			pause(ctx, regainPause)
			exit := <-x.engine.Wait(ctx, x.record.Container, false)
			if exit.Err == nil || errors.Is(exit.Err, engine.ErrNoContainer) || ctx.Err() != nil {
				out <- exit
				return
			}
		}
	}()
	return out
}

// readerWithin is how long a reader of the sandbox's output has once the sandbox has ended and its
// operator has asked twice for the end.
const readerWithin = time.Second

var errNotRead = errors.New("it is not read")

// left says that this program leaves a sandbox that it has told to end.
func (x *session) left(sig os.Signal) (int, error) {
	return leftCode(sig), fmt.Errorf("%w: the sandbox %s goes on saving, and the daemon ends it; `sandbox stop %s` waits for that", errLeft, x.record.SandboxID, x.record.SandboxID)
}

// cut says that the sandbox's output could not be passed on; that its reader went away is
// the reader's business.
func (x *session) cut(err error) {
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		x.out.say("not all of the sandbox's output came through: %v; `sandbox logs %s` has it", err, x.record.SandboxID)
	}
}

// late tells of the time limit.
func (x *session) late(err error) {
	if err != nil {
		x.out.say("the time limit of the sandbox %s: %v", x.record.SandboxID, err)
		return
	}
	x.out.say("the time limit of %s has passed: stopping the sandbox %s and saving what has changed", x.record.Limits.Timeout, x.record.SandboxID)
}

// regain finds or starts a daemon when the one it held on to is gone. The sandbox's
// sockets come back with it. It does not give up: without storage the sandbox loses data.
func (x *session) regain(ctx context.Context, out chan<- *hostd.Hold) {
	for {
		h, err := x.daemon.Again(ctx, x.dir, x.Daemon)
		if err == nil {
			if err = x.authorize(ctx); err != nil {
				h.Release()
			}
		}
		if err == nil {
			out <- h
			return
		}
		x.out.say("the sandbox is without its storage: %v; trying again", err)
		pause(ctx, regainPause)
	}
}

// end judges, cleans up and tells.
func (x *session) end(ctx context.Context, code int) (int, error) {
	r, err := teardown.End(ctx, x.engine, x.sandboxDir, x.record)
	x.record = r
	if errors.Is(err, teardown.ErrRunning) {
		return code, fmt.Errorf("the sandbox %s has ended with exit code %d, and another client of the engine has started it again; `sandbox stop %s` ends it", r.SandboxID, code, r.SandboxID)
	}
	if r.Ended == nil {
		return code, fmt.Errorf("the sandbox %s has ended with exit code %d, but not been cleaned up: %w", r.SandboxID, code, err)
	}
	x.out.ended(r)
	if err != nil {
		x.out.say("%v", err)
	}
	return code, nil
}
