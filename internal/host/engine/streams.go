package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// Streams are what a container's, or a command's, are joined to.
type Streams struct {
	TTY bool      // one stream out, none for errors
	In  io.Reader // nil: nothing is sent
	Out io.Writer
	Err io.Writer
}

// Attached is a joined set of streams.
type Attached struct {
	res  client.HijackedResponse
	done chan error
	over chan struct{} // closed when all output has been written
}

// detachKeys replaces the engine's own ctrl-p ctrl-q, which cannot be switched off. The engine holds
// back the first key of the sequence until the next one comes, and ctrl-p is every shell's previous
// line; ctrl-^ is hardly ever typed. The rest is made by chance, so that nothing that is pasted detaches.
var detachKeys = sync.OnceValue(func() string {
	return "ctrl-^," + strings.Join(strings.Split(strings.ToLower(rand.Text()), ""), ",")
})

// Attach joins streams to a container's. Called before Start, it misses no output.
func (e *Engine) Attach(ctx context.Context, id string, s Streams) (*Attached, error) {
	ctx, end := e.bounded(ctx) // which ends the handshake, and not the streams
	defer end()
	res, err := e.c.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: s.In != nil, Stdout: true, Stderr: true, DetachKeys: detachKeys()})
	if err != nil {
		return nil, wrap(err, ErrNoContainer, "cannot attach to the container %s", short(id))
	}
	return join(res.HijackedResponse, s), nil
}

func join(res client.HijackedResponse, s Streams) *Attached {
	a := &Attached{res: res, done: make(chan error, 1), over: make(chan struct{})}
	if s.In != nil {
		// Ends with its reader: nothing calls off a read of a terminal. When the
		// connection goes first, the next byte typed finds it closed.
		go func() {
			_, _ = io.Copy(res.Conn, s.In)
			_ = res.CloseWrite()
		}()
	}
	go func() {
		a.done <- demux(s.TTY, s.Out, s.Err, res.Reader)
		close(a.over)
	}()
	return a
}

// Done receives when all output has been written.
func (a *Attached) Done() <-chan error { return a.done }

// Close ends it.
func (a *Attached) Close() { a.res.Close() }

func demux(tty bool, out, errw io.Writer, r io.Reader) error {
	if tty {
		_, err := io.Copy(out, r)
		return err
	}
	_, err := stdcopy.StdCopy(out, errw, r)
	return err
}

// Command is a command for a running container.
type Command struct {
	User string
	Dir  string // empty: the image's
	Env  []string
	Args []string
}

// Exec is a command under way.
type Exec struct {
	e         *Engine
	container string
	id        string
	user      string
	*Attached
}

// Exec starts a command in a running container; ErrNoContainer.
func (e *Engine) Exec(ctx context.Context, container string, c Command, s Streams) (*Exec, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	made, err := e.c.ExecCreate(ctx, container, client.ExecCreateOptions{
		User: c.User, WorkingDir: c.Dir, Env: c.Env, Cmd: c.Args,
		TTY: s.TTY, AttachStdin: s.In != nil, AttachStdout: true, AttachStderr: true, DetachKeys: detachKeys(),
	})
	if err != nil {
		return nil, wrap(err, ErrNoContainer, "cannot run a command in the container %s", short(container))
	}
	res, err := e.c.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: s.TTY})
	if err != nil {
		return nil, wrap(err, ErrNoContainer, "cannot run a command in the container %s", short(container))
	}
	return &Exec{e: e, container: container, id: made.ID, user: c.User, Attached: join(res.HijackedResponse, s)}, nil
}

// Resize tells the command's terminal its size.
func (x *Exec) Resize(ctx context.Context, width, height int) error {
	_, err := x.e.c.ExecResize(ctx, x.id, client.ExecResizeOptions{Width: uint(width), Height: uint(height)})
	return wrap(err, nil, "cannot set the terminal's size")
}

// errStillRuns says that a command was left while it runs.
var errStillRuns = errors.New("the command has closed its output and still runs")

// statusWithin is how long after the end of its output a command may take to end.
const statusWithin = 5 * time.Second

// ExitCode is the command's, once Done has received. The engine may close the output
// before it knows how the command ended: its event is waited for then.
func (x *Exec) ExitCode(ctx context.Context) (int, error) {
	if code, running, err := x.status(ctx); err != nil || !running {
		return code, err
	}
	ctx, stop := context.WithTimeout(ctx, statusWithin)
	defer stop()
	died := x.e.c.Events(ctx, client.EventsListOptions{
		Filters: make(client.Filters).Add("container", x.container).Add("event", string(events.ActionExecDie)),
	})
	for {
		if code, running, err := x.status(ctx); err != nil || !running {
			return code, err
		}
		select {
		case <-died.Messages:
		case <-ctx.Done():
			return 0, errStillRuns
		}
	}
}

func (x *Exec) status(ctx context.Context) (code int, running bool, err error) {
	res, err := x.e.c.ExecInspect(ctx, x.id, client.ExecInspectOptions{})
	return res.ExitCode, res.Running, wrap(err, ErrNoContainer, "cannot learn how the command ended")
}

// Resize tells the container's terminal its size.
func (e *Engine) Resize(ctx context.Context, id string, width, height int) error {
	_, err := e.c.ContainerResize(ctx, id, client.ContainerResizeOptions{Width: uint(width), Height: uint(height)})
	return wrap(err, nil, "cannot set the terminal's size")
}
