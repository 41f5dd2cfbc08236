package run

import (
	"context"

	"github.com/matrx/sandbox/internal/host/hostd"
)

// ensured is the answer of hostd.Ensure.
type ensured struct {
	client *hostd.Client
	hold   *hostd.Hold
	err    error
}

// ensureDaemon asks for the daemon beside the engine: each takes its time to answer.
func (x *session) ensureDaemon(ctx context.Context) {
	ensuring := make(chan ensured, 1)
	ctx, x.stopEnsuring = context.WithCancel(ctx)
	go func() {
		var e ensured
		e.client, e.hold, e.err = hostd.Ensure(ctx, x.dir, x.Daemon)
		ensuring <- e
	}()
	x.ensuring = ensuring
}

// awaitDaemon waits for the daemon's answer, which comes at the latest when the context that it was asked with ends.
func (x *session) awaitDaemon() error {
	if x.ensuring == nil {
		return nil
	}
	e := <-x.ensuring
	x.ensuring, x.daemon, x.hold = nil, e.client, e.hold
	return e.err
}

// leaveDaemon gives the daemon up.
func (x *session) leaveDaemon() {
	if x.stopEnsuring != nil {
		x.stopEnsuring()
	}
	_ = x.awaitDaemon() // of a session that has failed before it needed it
	if x.hold != nil {
		x.hold.Release()
	}
	if x.daemon != nil {
		x.daemon.Close()
	}
}
