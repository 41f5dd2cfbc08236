package run

import (
	"context"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// OpenExec reaches the exec server of a sandbox, once that is ready. open connects to the engine, which is asked only
// where the sandbox is not.
func OpenExec(ctx context.Context, open func() (*engine.Engine, error), d datadir.Dir, id string, s Streams) (*ExecServer, error) {
	server, err := ConnectExec(ctx, d, id)
	if err == nil {
		return server, nil
	}
	e, oerr := open()
	if oerr != nil {
		return nil, oerr
	}
	defer e.Close()
	server, entry, _, err := AwaitExec(ctx, e, d, id, s)
	if err != nil {
		return nil, noServer(entry.SandboxID, entry.Image, err)
	}
	return server, nil
}

// AttachOptions say how to attach to an exec.
type AttachOptions struct {
	Exec        string
	Offset      int64
	Interactive bool // send it what is typed
	JSON        bool // tell how it has ended as a line of JSON, on Err
}

// Show shows the output of an exec until its end, and returns its exit code. A signal leaves it, and it goes on.
func (x *ExecServer) Show(ctx context.Context, o AttachOptions, s Streams) (int, error) {
	signals := catchSignals()
	defer signals.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	stream, err := x.Attach(context.WithoutCancel(ctx), o.Exec, o.Offset)
	if err != nil {
		return 0, err
	}
	c := &client{server: x, signals: signals, s: s, detach: make(chan struct{}), leaves: true}
	c.stream.Store(stream)
	f, err := c.attended(context.WithoutCancel(ctx), o.Interactive, stream.Exec.Terminal && o.Interactive)
	return told(f, err, o.JSON, s)
}
