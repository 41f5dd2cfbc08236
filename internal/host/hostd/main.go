package hostd

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/engine"
)

// readyFD is where a daemon says to the program that has started it that it is ready.
const readyFD = 3

// Main is a daemon's process: Run, with a guard beside it. A daemon that ends with an error
// says nothing to its guard, which then starts another.
func Main(ctx context.Context, o Options, p Program) error {
	starter := inherited(readyFD, unix.S_IFSOCK)
	tell := func(r readiness) {
		if starter != nil {
			_ = json.NewEncoder(starter).Encode(r) // it may have given up
		}
	}
	var err error
	if o.secrets, err = newVault(); err != nil {
		tell(readiness{Error: err.Error()})
		return err
	}
	var g *guarded
	o.Ready = func() {
		if o.Stay { // the supervisor starts another
			return
		}
		var err error
		if g, err = guard(o.Dir, p, o.secrets.file, o.Log); err != nil {
			o.Log.Error("the daemon runs without its guard", "event", "guard_failed", "error", err.Error())
		}
		tell(readiness{Ready: true})
	}
	if starter != nil {
		// The program that wants it has no hold yet. It closes its end when it has.
		gone := make(chan struct{})
		o.First = gone
		go func() {
			_, _ = io.Copy(io.Discard, starter)
			close(gone)
		}()
	}
	if err := run(ctx, o); err != nil {
		o.Log.Error("the daemon has failed", "event", "daemon_failed", "error", err.Error())
		tell(readiness{Error: err.Error()})
		return err
	}
	if g != nil {
		g.goodbye()
	}
	return nil
}

// inherited gives the pipe or socket that this process was started with, nil when it was started by
// hand: the number may then be any descriptor of the runtime's.
func inherited(fd int, kind uint32) *os.File {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != kind {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "inherited")
}

// OpenEngine connects to Docker.
func OpenEngine(ctx context.Context, host string) (Engine, error) {
	e, err := engine.OpenAt(ctx, host)
	if err != nil {
		return nil, err
	}
	return e, nil
}
