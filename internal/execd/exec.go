package execd

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/pid1/process"
)

// execution is one exec, from its start until it is forgotten.
type execution struct {
	server  *Server
	spec    execapi.Spec // once it has begun, with shown arguments and without its environment
	started time.Time
	slot    int // of the records

	// Zero for one that an earlier server has started.
	child *process.Child
	began uint64 // in the ticks of process.Proc.Start
	in    *input
	out   *output
	pumps []*pump
	tty   *terminal // nil: none

	timeout *time.Timer
	expiry  *time.Timer   // of the table
	begun   chan struct{} // closed when it has been started: the fields above are as they stay
	over    chan struct{} // closed when final is there

	mu     sync.Mutex
	status *process.Status // the process has ended
	ended  uint64          // likewise, in ticks
	cause  execapi.Reason  // why it is being ended; empty: it is not
	final  execapi.Final   // valid once over is closed
}

// info is what is told of it.
func (x *execution) info() execapi.Exec {
	e := execapi.Exec{
		ID: x.spec.ID, Args: x.spec.Args, Dir: x.spec.Dir, Stdin: x.spec.Stdin, Terminal: x.spec.Terminal != nil,
		Timeout: x.spec.Timeout, Started: x.started,
	}
	if x.child != nil {
		e.PID = x.child.PID
	}
	e.From, e.To, e.Attached = x.out.kept()
	select {
	case <-x.over:
		f := x.final
		e.Final = &f
	default:
	}
	return e
}

// run waits for the process's end and says how it was.
func (x *execution) run() {
	status := <-x.child.Done
	rose := x.server.oom.rose() // asked at each end, so that an earlier rise is not this one's
	oom := rose && status.Signaled() && status.Signal() == syscall.SIGKILL
	x.mu.Lock()
	x.status, x.ended = &status, process.Ticks()
	x.mu.Unlock()
	x.out.processEnded()
	for _, p := range x.pumps {
		p.ended()
	}
	for _, p := range x.pumps {
		p.caught.Wait()
	}
	x.in.close()
	x.finish(x.judge(status, oom))
}

// judge says how it has ended.
func (x *execution) judge(status process.Status, oom bool) execapi.Final {
	f := execapi.Final{Reason: execapi.Exited, Code: status.Code(), Ended: time.Now().UTC()}
	if status.Signaled() {
		f.Reason, f.Signal = execapi.Signaled, int(status.Signal())
	}
	x.mu.Lock()
	cause := x.cause
	x.mu.Unlock()
	switch {
	case cause != "":
		f.Reason = cause
	case oom:
		f.Reason = execapi.OOM
	case x.server.draining():
		f.Reason = execapi.Stopped
	}
	return f
}

func (x *execution) finish(f execapi.Final) {
	x.out.finish(f)
	f.Output = x.out.final.Output
	x.final = f
	x.server.records.ended(x.slot, f)
	close(x.over)
	x.server.table.ended(x)
}

// timeOut ends it with its descendants, also those that it has left behind when its process ended by itself.
func (x *execution) timeOut() { x.end(execapi.TimedOut) }

// end ends all processes of the exec and returns when none is left.
func (x *execution) end(why execapi.Reason) {
	if x.child == nil {
		return
	}
	x.mu.Lock()
	if x.status == nil && x.cause == "" {
		x.cause = why
	}
	x.mu.Unlock()
	x.server.stops.end(x)
}

// hangUp ends it as a terminal that is closed does, and what takes no notice as end does.
func (x *execution) hangUp() {
	_ = x.signal(syscall.SIGHUP)
	x.end("")
}

// signal sends a signal to the process group. One that has ended has none.
func (x *execution) signal(n syscall.Signal) error {
	if x.child == nil {
		return nil
	}
	err := x.child.SignalGroup(n)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// hasBegun is false while it is being started.
func (x *execution) hasBegun() bool {
	select {
	case <-x.begun:
		return true
	default:
		return false
	}
}

// running says whether its process has not ended.
func (x *execution) running() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.child != nil && x.status == nil
}

// lost is an exec that an earlier server has started.
func (s *Server) lost(slot int, r record) *execution {
	x := &execution{
		server: s, slot: slot, started: r.Started, begun: make(chan struct{}), over: make(chan struct{}), out: s.heap.add(), in: newInput(nil, false),
		spec: execapi.Spec{ID: r.ID, Args: r.Args, Dir: r.Dir},
	}
	f := execapi.Final{Reason: execapi.Lost, Code: -1, Ended: time.Now().UTC()}
	if r.Final != nil {
		f = *r.Final
	} else {
		s.records.ended(slot, f)
	}
	x.out.lost(f)
	close(x.begun)
	x.final = f
	close(x.over)
	return x
}
