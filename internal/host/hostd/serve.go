package hostd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/hostd/egress"
	"github.com/matrx/sandbox/internal/host/hostd/gateway"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// sandbox is one that has not ended, and its door.
type sandbox struct {
	sandboxDir datadir.Sandbox
	engineHost string
	dir        *sockdir.Dir
	gateway    *gateway.Gateway
	server     *gateway.Server
	accessKey  string // of the credentials that it waits for when the vault has none; empty: it needs none

	// The way out, when it has one.
	proxy  *egress.Proxy
	egress *egress.Server

	divider *divider
	moves   net.Listener // nil: the memory is not divided
}

// errOver says that the daemon is ending.
var errOver = errors.New("the daemon is ending")

// serve serves a sandbox's socket, if it does not already, and looks after the sandbox from
// then on.
func (d *Daemon) serve(id string) error {
	sandboxDir, err := d.Dir.Sandbox(id)
	if err != nil {
		return err
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if known, err := d.known(id); known || err != nil {
		return err
	}
	r, err := sandboxDir.Load()
	if err != nil {
		return err
	}
	s, err := d.open(sandboxDir, r)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		go s.close(d.ctx)
		return errOver
	}
	d.served[id] = s
	d.settle()
	ctx, ended := context.WithCancel(d.ctx)
	d.work.Go(func() { defer ended(); d.lookAfter(s) })
	if s.moves != nil {
		d.work.Go(func() { s.divider.serveMoves(ctx, s.moves) })
		d.work.Go(func() { s.divider.sweep(ctx) })
	}
	return nil
}

func (d *Daemon) known(id string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.drains && d.served[id] == nil {
		return false, errOver
	}
	_, ok := d.served[id]
	return ok, nil
}

func (d *Daemon) open(sandboxDir datadir.Sandbox, r datadir.Record) (*sandbox, error) {
	up, err := d.upstream(r.SandboxID, r.Store)
	if err != nil {
		return nil, err
	}
	var room func(int64, string) (func(), error)
	var honours string
	if r.Store.Embedded {
		honours = contract.HostStoreEmbedded
		q := &quota{bucket: filepath.Join(d.Dir.Buckets(), r.Store.Bucket), prefix: r.UserPrefix(), limit: r.Limits.Store}
		if q.limit == 0 {
			q.limit = defaultStore
		}
		go q.measure() // a large workspace takes some seconds
		room = q.room
	}
	gw, err := gateway.New(d.ctx, gateway.Options{
		Room:     room,
		Honours:  honours,
		Scope:    gateway.Scope{Bucket: r.Store.Bucket, Prefix: r.UserPrefix()},
		Upstream: up,
		Log:      d.Log.With("sandbox_id", r.SandboxID),
		Lease:    func(h contract.LeaseHolder) { d.learn(sandboxDir, h) },
	})
	if err != nil {
		return nil, err
	}
	dir, err := sockdir.Open(sandboxDir.HostDir())
	if err != nil {
		return nil, fmt.Errorf("cannot serve the sandbox %s: %w", r.SandboxID, err)
	}
	// Each process that can reach it may open it; the directories above are the operator's
	// on the host and root's in the container.
	l, err := dir.Listen(contract.HostStorageSocketName, 0o666)
	if err != nil {
		dir.Close()
		return nil, err
	}
	s := &sandbox{sandboxDir: sandboxDir, engineHost: r.EngineHost, dir: dir, gateway: gw, server: gateway.Serve(l, gw), accessKey: r.Store.AccessKey,
		divider: &divider{log: d.Log, openEngine: d.OpenEngine, sandboxDir: sandboxDir}}
	if DividesMemory() {
		if s.moves, err = dir.Listen(contract.HostMemorySocketName, 0o666); err != nil {
			s.close(d.ctx)
			return nil, err
		}
	}
	if s.accessKey != "" && !d.secrets.has(r.SandboxID) {
		d.Log.Error("a sandbox waits for its credentials", "event", "credentials_awaited", "sandbox_id", r.SandboxID, "access_key", s.accessKey)
	}
	if r.Access.Mode == datadir.Allow {
		if err := s.letOut(r, d.Log); err != nil {
			s.close(d.ctx)
			return nil, err
		}
	}
	return s, nil
}

// letOut opens the way to the hosts that the sandbox may reach.
func (s *sandbox) letOut(r datadir.Record, log *slog.Logger) error {
	var rules []egress.Rule
	for _, text := range r.Access.Allow {
		rule, err := egress.ParseRule(text)
		if err != nil {
			return fmt.Errorf("cannot let the sandbox %s out: %w", r.SandboxID, err)
		}
		rules = append(rules, rule)
	}
	l, err := s.dir.Listen(contract.HostProxySocketName, 0o666)
	if err != nil {
		return err
	}
	s.proxy = egress.New(rules, log.With("sandbox_id", r.SandboxID))
	s.egress = egress.Serve(l, s.proxy)
	return nil
}

func (s *sandbox) close(ctx context.Context) {
	s.server.Close(ctx)
	if s.egress != nil {
		s.egress.Close()
	}
	if s.moves != nil {
		s.moves.Close()
	}
	s.dir.Close()
}

// learn remembers the holder of the lease.
func (d *Daemon) learn(sandboxDir datadir.Sandbox, h contract.LeaseHolder) {
	if h.Released {
		return
	}
	if err := sandboxDir.SetInstance(h.Instance); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Log.Warn("the holder of a lease is not remembered", "event", "instance_unwritable", "sandbox_id", sandboxDir.ID, "error", err.Error())
	}
}

// forget closes the door of a sandbox that has ended.
func (d *Daemon) forget(s *sandbox) {
	d.mu.Lock()
	delete(d.served, s.sandboxDir.ID)
	d.settle()
	d.mu.Unlock()
	if err := d.secrets.forget(s.sandboxDir.ID); err != nil {
		d.Log.Warn("the credentials of an ended sandbox are not forgotten", "event", "credentials_kept", "sandbox_id", s.sandboxDir.ID, "error", err.Error())
	}
	end, stop := context.WithTimeout(context.WithoutCancel(d.ctx), closeWithin)
	defer stop()
	s.close(end)
}
