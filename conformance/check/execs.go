package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
)

// The exec server's socket in a sandbox of Execs: in a mounted directory below one of root's, since the mounted one may
// belong to the agent's UID on the host.
const (
	socketsDir = contract.HostDir + "/sockets"
	ExecSocket = socketsDir + "/" + contract.HostExecSocketName
)

// WithExecs is a start that asks for an exec server whose socket is in a directory of the host.
func (e *Env) WithExecs(s Start) (with Start, dir string, err error) {
	dir, err = os.MkdirTemp(e.fixture.Dir, "exec-")
	if err != nil {
		return s, "", err
	}
	// The engine's root may be another user here. Others cannot list the directory above.
	if err := os.Chmod(dir, 0o777); err != nil {
		return s, "", err
	}
	s.Env, s.Tmpfs = maps.Clone(s.Env), maps.Clone(s.Tmpfs)
	if s.Env == nil {
		s.Env = map[string]string{}
	}
	if s.Tmpfs == nil {
		s.Tmpfs = map[string]string{}
	}
	s.Env[contract.EnvExecSocket] = ExecSocket
	s.Tmpfs[contract.HostDir] = "mode=0700"
	s.Binds = append([]string{dir + ":" + socketsDir}, s.Binds...)
	return s, dir, nil
}

// Execs starts a sandbox, waits until it is ready, and reaches its exec server as a host does.
func (e *Env) Execs(ctx context.Context, s Start) (*Sandbox, *execapi.Client, error) {
	s, dir, err := e.WithExecs(s)
	if err != nil {
		return nil, nil, err
	}
	box, err := e.Ready(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	socket := filepath.Join(dir, contract.HostExecSocketName)
	if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) {
		if _, err := box.RunAs(ctx, "0", "exists", ExecSocket); err == nil {
			return nil, nil, Unsupported("the engine shows the host no socket that a container makes; gVisor does with --host-uds=all")
		}
		return nil, nil, Fail(fmt.Sprintf("the sandbox is ready, and there is no socket at %s=%s", contract.EnvExecSocket, ExecSocket),
			"build the image on one of contract 1.1.0 or later")
	}
	return box, execapi.New(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}), nil
}

// Outcome is what an exec printed, both streams, and how it ended.
type Outcome struct {
	Output string
	Gaps   []execapi.Gap
	Final  execapi.Final
}

// Exec runs the probe through an exec server to its end.
func Exec(ctx context.Context, c *execapi.Client, args ...string) (Outcome, error) {
	st, err := c.StartAttached(ctx, ProbeSpec(args...))
	if err != nil {
		return Outcome{}, fmt.Errorf("cannot start the probe %q: %w", args, err)
	}
	return Collect(ctx, st)
}

// ProbeSpec is an exec of the probe.
func ProbeSpec(args ...string) execapi.Spec {
	return execapi.Spec{Args: append([]string{Probe}, args...)}
}

// Collect reads a stream to its end and closes it.
func Collect(ctx context.Context, st *execapi.Stream) (o Outcome, err error) {
	defer st.Close()
	final, err := read(ctx, st, &o, nil)
	if err == nil {
		o.Final = *final
	}
	return o, err
}

// Await reads a stream until its output has a text, and returns the output so far. An exec that ends before is a Fail.
func Await(ctx context.Context, st *execapi.Stream, text string) (string, error) {
	var o Outcome
	final, err := read(ctx, st, &o, []byte(text))
	if err == nil && final != nil {
		err = Failf("the exec has ended with %+v before it printed %q; it printed %q", *final, text, o.Output)
	}
	return o.Output, err
}

func read(ctx context.Context, st *execapi.Stream, o *Outcome, until []byte) (*execapi.Final, error) {
	defer context.AfterFunc(ctx, func() { st.Close() })()
	var out bytes.Buffer
	defer func() { o.Output = out.String() }()
	for {
		ev, err := st.Next()
		switch {
		case err != nil:
			return nil, Failf("the stream of the exec breaks off after %q: %v", tail(out.String()), errors.Join(context.Cause(ctx), err))
		case ev.Final != nil:
			return ev.Final, nil
		case ev.Type == execapi.FrameGap:
			o.Gaps = append(o.Gaps, ev.Gap)
		default:
			out.Write(ev.Data)
		}
		if until != nil && bytes.Contains(out.Bytes(), until) {
			return nil, nil
		}
	}
}

// tail is the end of a long text.
func tail(s string) string { return s[max(0, len(s)-200):] }
