package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"github.com/matrx/sandbox/internal/relay"
)

// ErrEnded says that the sandbox has ended, and the forwarding with it.
var ErrEnded = errors.New("the sandbox has ended")

// Listening is a port that has appeared.
type Listening struct {
	SandboxID string `json:"sandbox_id"`
	Port      uint16 `json:"port"`
	Address   string `json:"address"` // of this machine
	Local     uint16 `json:"local_port"`
}

// Teller is told what happens.
type Teller interface {
	Listening(Listening)
	Say(format string, args ...any)
}

// Engine is what is asked of the engine.
type Engine interface {
	inventory.Engine
	Wait(ctx context.Context, id string, next bool) <-chan engine.Exit
}

// Run forwards until ctx is done, which is no error, or the sandbox has ended: ErrEnded. Either all
// ports appear or none.
func Run(ctx context.Context, e Engine, d datadir.Dir, id string, ports []Port, tell Teller) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil {
		return err
	}
	if !entry.Running {
		return fmt.Errorf("cannot forward to the sandbox %s: %w; `sandbox ps` lists those that run", id, ErrEnded)
	}
	socket, err := served(entry)
	if err != nil {
		return err
	}
	dir, err := sockdir.Open(entry.SandboxDir.HostDir())
	if err != nil {
		return fmt.Errorf("cannot forward to the sandbox %s: %w", id, err)
	}
	defer dir.Close()
	f := newForwarder(func(ctx context.Context) (net.Conn, error) { return dir.Dial(ctx, socket) }, tell)
	defer f.close()
	if err := f.open(id, ports); err != nil {
		return err
	}
	waiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	select {
	case exit := <-e.Wait(waiting, entry.Container, false):
		if exit.Err != nil && !errors.Is(exit.Err, engine.ErrNoContainer) {
			return fmt.Errorf("lost sight of the sandbox %s: %w", id, exit.Err)
		}
		return fmt.Errorf("nothing is forwarded any more: %w; `sandbox inspect %s` says how", ErrEnded, id)
	case <-ctx.Done():
		return nil
	}
}

// served finds the socket that takes connections in, and finds out early that no process will ever answer: one that is
// ready has a socket, dead or alive. Images from before there was an exec server have the storage process take them.
func served(entry inventory.Entry) (socket string, err error) {
	for _, name := range []string{contract.HostExecSocketName, contract.HostForwardSocketName} {
		_, err := os.Lstat(filepath.Join(entry.SandboxDir.HostDir(), name))
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if st, err := entry.SandboxDir.State(); err == nil && st.Ready {
		return "", fmt.Errorf("cannot forward to the sandbox %s: its image %s has a sandbox-init that does not take connections in; build the image again and start it anew", entry.SandboxID, entry.Image)
	}
	return contract.HostExecSocketName, nil // it is still starting
}

// forwarder is a set of ports that are forwarded.
type forwarder struct {
	dial      func(context.Context) (net.Conn, error)
	tell      Teller
	semaphore chan struct{}
	ctx       context.Context
	stop      context.CancelFunc
	work      sync.WaitGroup
	taken     []*net.TCPListener
}

func newForwarder(dial func(context.Context) (net.Conn, error), tell Teller) *forwarder {
	f := &forwarder{dial: dial, tell: tell, semaphore: make(chan struct{}, contract.ForwardConnections)}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

func (f *forwarder) open(id string, ports []Port) error {
	for _, p := range ports {
		l, err := p.listen()
		if err != nil {
			return err
		}
		f.taken = append(f.taken, l)
	}
	for i, l := range f.taken {
		at := l.Addr().(*net.TCPAddr).AddrPort()
		f.tell.Listening(Listening{SandboxID: id, Port: ports[i].Port, Address: at.Addr().Unmap().String(), Local: at.Port()})
		f.work.Go(func() { f.accept(l, &line{to: ports[i].Port, tell: f.tell}) })
	}
	return nil
}

// close ends all connections.
func (f *forwarder) close() {
	f.stop()
	for _, l := range f.taken {
		l.Close()
	}
	f.work.Wait()
}

func (f *forwarder) accept(l *net.TCPListener, to *line) {
	a := relay.Acceptor{From: l, Semaphore: f.semaphore, Work: &f.work, Failed: func(err error) {
		f.tell.Say("a connection to %s was not taken: %v", l.Addr(), err)
	}}
	a.Serve(f.ctx, func(near net.Conn) { f.serve(near.(*net.TCPConn), to) })
}

func (f *forwarder) serve(near *net.TCPConn, to *line) {
	defer near.Close()
	stop := context.AfterFunc(f.ctx, func() { near.Close() })
	defer stop()
	far, rest, err := to.connect(f.ctx, f.dial)
	if err != nil {
		// A reset is what a port that no process listens on answers with.
		_ = near.SetLinger(0)
		return
	}
	defer far.Close()
	stopFar := context.AfterFunc(f.ctx, func() { far.Close() })
	defer stopFar()
	relay.Both(near, far, rest)
}

// explain says how to mend it.
func (p Port) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s port %d: something else does; name another port, %d:LOCALPORT, or %d:0 for any", p.Address, p.Local, p.Port, p.Port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s port %d: ports below 1024 are root's; name another, %d:LOCALPORT, or %d:0 for any", p.Address, p.Local, p.Port, p.Port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: this machine does not have that address", p.Address)
	}
	return fmt.Errorf("cannot listen on %s port %d: %w", p.Address, p.Local, err)
}
