package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
)

// ErrNoServer says that a sandbox has no exec server to be reached: its image is from before there was one, it was
// not started by `sandbox run`, or it has ended.
var ErrNoServer = errors.New("it has no exec server")

// ExecServer is a client of a sandbox's exec server, and what keeps the sandbox in reach of its storage meanwhile.
type ExecServer struct {
	*execapi.Client
	dir     *sockdir.Dir
	release func()
}

// Close lets go of both.
func (s *ExecServer) Close() {
	s.release()
	s.dir.Close()
}

// ConnectExec reaches the exec server of a sandbox that is ready. It asks no engine, which takes longer than most
// commands: ErrNoServer says to do so.
func ConnectExec(ctx context.Context, d datadir.Dir, id string) (*ExecServer, error) {
	sandboxDir, err := d.Sandbox(id)
	if err != nil {
		return nil, err
	}
	r, err := sandboxDir.Load()
	if err != nil || r.Ended != nil {
		return nil, ErrNoServer
	}
	if st, err := sandboxDir.State(); err != nil || !st.Ready {
		return nil, ErrNoServer
	}
	return connectExec(ctx, sandboxDir)
}

func connectExec(ctx context.Context, sandboxDir datadir.Sandbox) (*ExecServer, error) {
	if _, err := os.Lstat(filepath.Join(sandboxDir.HostDir(), contract.HostExecSocketName)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoServer
	}
	dir, err := sockdir.Open(sandboxDir.HostDir())
	if err != nil {
		return nil, fmt.Errorf("cannot reach the sandbox %s: %w", sandboxDir.ID, err)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return dir.Dial(ctx, contract.HostExecSocketName) }
	probe, err := dial(ctx)
	if err != nil {
		dir.Close()
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) { // of a container that has ended
			return nil, ErrNoServer
		}
		return nil, fmt.Errorf("cannot reach the exec server of the sandbox %s: %w", sandboxDir.ID, err)
	}
	// The first request has the connection that proved that there is a server.
	first := make(chan net.Conn, 1)
	first <- probe
	return &ExecServer{
		Client: execapi.New(func(ctx context.Context) (net.Conn, error) {
			select {
			case c := <-first:
				return c, nil
			default:
				return dial(ctx)
			}
		}),
		dir: dir, release: keepInReach(ctx, sandboxDir.Dir()),
	}, nil
}

// keepInReach makes sure that the daemon lives, beside what its caller does, which needs no daemon.
func keepInReach(ctx context.Context, d datadir.Dir) (release func()) {
	held := make(chan func(), 1)
	go func() {
		release, err := hostd.Revive(context.WithoutCancel(ctx), d, nil, true)
		if err != nil {
			release = func() {}
		}
		held <- release
	}()
	return func() { (<-held)() }
}

// AwaitExec reaches the exec server of a sandbox, wherever its data directory is, once that is ready.
func AwaitExec(ctx context.Context, e *engine.Engine, d datadir.Dir, id string, s Streams) (*ExecServer, inventory.Entry, contract.State, error) {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return nil, entry, contract.State{}, err
	}
	if !entry.Running {
		return nil, entry, contract.State{}, fmt.Errorf("cannot reach the sandbox %s: it has ended", id)
	}
	revive(ctx, entry, func(string, ...any) {})()
	over := Output{Err: s.Err}.waiting("the sandbox %s to be ready", id)
	st, err := awaitReady(ctx, e, entry)
	over()
	if err != nil {
		return nil, entry, st, err
	}
	server, err := connectExec(ctx, entry.SandboxDir)
	return server, entry, st, err
}
