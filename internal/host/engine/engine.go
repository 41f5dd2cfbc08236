// Package engine runs sandboxes' containers through a Docker engine on this machine
// (API 1.40 and later).
//
// It is the one place that knows how a sandbox's container is made: as root with all
// capabilities dropped but those that sandbox-init needs, no-new-privileges, confined as
// it is told, the home and the state on directories or volumes of its own, and the host's directories of
// sockets mounted.
// What it is told comes in a Spec; it decides nothing about sandboxes.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os/user"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Engine is a connection to an engine.
type Engine struct {
	c      *client.Client
	facts  facts
	within time.Duration // see callWithin
}

// Errors by which a caller decides.
var (
	ErrNoEngine    = errors.New("no container engine answers")
	ErrNoContainer = errors.New("there is no such container")
	ErrNoImage     = errors.New("there is no such image")
	ErrNameTaken   = errors.New("the name is taken")
)

// Open connects to the engine that DOCKER_HOST names, by default the one at
// /var/run/docker.sock, and asks it who it is.
func Open(ctx context.Context) (*Engine, error) { return OpenAt(ctx, "") }

// OpenAt connects to the engine at host, as Host gave it; empty: see Open.
func OpenAt(ctx context.Context, host string) (*Engine, error) { return open(ctx, host, Memory{}) }

// OpenKnown is Open with what is remembered of the engine.
func OpenKnown(ctx context.Context, m Memory) (*Engine, error) { return open(ctx, "", m) }

func open(ctx context.Context, host string, m Memory) (*Engine, error) {
	opts := []client.Opt{client.FromEnv}
	if host != "" {
		opts = []client.Opt{client.WithHost(host)}
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot use the container engine: %w; check DOCKER_HOST and its companions", err)
	}
	host = c.DaemonHost()
	if err := onThisMachine(host); err != nil {
		c.Close()
		return nil, err
	}
	// One that takes the connection and does not answer is as good as none.
	asking, stop := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("it has not answered in %s", answerWithin))
	f, err := m.ask(asking, c)
	if err != nil && asking.Err() != nil {
		err = context.Cause(asking)
	}
	stop()
	if err != nil {
		c.Close()
		return nil, cannotReach(host, err)
	}
	return &Engine{c: c, within: callWithin, facts: f}, nil
}

// answerWithin bounds the first question to an engine.
const answerWithin = 30 * time.Second

// Host is where the engine answers.
func (e *Engine) Host() string { return e.c.DaemonHost() }

// Close closes the connection.
func (e *Engine) Close() error { return e.c.Close() }

// ID is the engine's own, the same for as long as its data lives.
func (e *Engine) ID() string { return e.facts.ID }

// onThisMachine refuses an engine elsewhere: it could not mount our sockets.
func onThisMachine(host string) error {
	u, err := url.Parse(host)
	if err == nil && u.Scheme == "unix" {
		return nil
	}
	return fmt.Errorf("cannot use the container engine at %s: it must be on this machine, reached by a unix socket, because a sandbox reaches its storage through a mounted directory; unset DOCKER_HOST or set it to unix:///PATH", host)
}

func cannotReach(host string, err error) error {
	mend := "start it, as root with scripts/ensure-engine.sh, or set DOCKER_HOST to one that runs"
	if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied") {
		name := "$USER"
		if u, uerr := user.Current(); uerr == nil {
			name = u.Username
		}
		mend = fmt.Sprintf("you may not open its socket: run `sudo usermod -aG docker %s` and log in again", name)
	}
	return fmt.Errorf("%w at %s: %w; %s", ErrNoEngine, host, err, mend)
}

// wrap says what could not be done, with an error of this package when it is one.
func wrap(err error, notFound error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	switch {
	case errdefs.IsNotFound(err) && notFound != nil:
		return fmt.Errorf("%s: %w", what, notFound)
	case errors.Is(err, context.DeadlineExceeded): // the client passes it on as it is
		return fmt.Errorf("%s: %w", what, errUnanswered)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("%s: %w: %w", what, ErrNoEngine, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
