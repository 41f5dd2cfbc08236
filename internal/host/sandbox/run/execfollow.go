package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
)

// client is this program while it is attached to an exec.
type client struct {
	server  *ExecServer
	stream  atomic.Pointer[execapi.Stream]
	signals *signalQueue
	s       Streams

	leaves bool          // a signal makes it leave, and the exec goes on
	detach chan struct{} // closed when the operator leaves
}

// errDetached says that the operator has left an exec that goes on.
var errDetached = errors.New("detached")

// follow passes on all that comes and goes, until the exec's end.
func (c *client) follow(ctx context.Context) (execapi.Final, error) {
	type end struct {
		final execapi.Final
		err   error
	}
	over := make(chan end, 1)
	go func() {
		f, err := c.output(ctx)
		over <- end{f, err}
	}()
	ending := 0
	for {
		select {
		case e := <-over:
			return e.final, e.err
		case <-c.detach:
			return execapi.Final{}, errors.Join(errDetached, c.stream.Load().Detach())
		case sig := <-c.signals.c:
			n, _ := sig.(syscall.Signal)
			if c.leaves {
				return execapi.Final{}, errDetached
			}
			if !forwards(sig) {
				ending++
			}
			if ending >= 3 {
				// The stream breaks with this program, and the server ends what is left.
				return execapi.Final{Code: leftCode(sig)}, errors.Join(errors.New("the command was killed at the third signal"), c.stream.Load().Signal(int(unix.SIGKILL)))
			}
			_ = c.stream.Load().Signal(int(n)) // to a broken stream it says nothing; the reader finds out
		}
	}
}

// output writes what comes. A stream that breaks is taken up where it was; when the server was killed, that
// brings how the exec has ended.
func (c *client) output(ctx context.Context) (execapi.Final, error) {
	for broken := 0; ; {
		stream := c.stream.Load()
		e, err := stream.Next()
		switch {
		case err != nil && broken < 3:
			broken++
			again, aerr := c.server.Attach(ctx, stream.Exec.ID, stream.Offset)
			if aerr != nil {
				return execapi.Final{}, fmt.Errorf("lost sight of the command: %w", aerr)
			}
			stream.Close()
			c.stream.Store(again)
			continue
		case err != nil:
			return execapi.Final{}, fmt.Errorf("lost sight of the command: %w", err)
		case e.Final != nil:
			return *e.Final, nil
		case e.Type == execapi.FrameGap:
			fmt.Fprintf(c.s.Err, "sandbox: output is missing: of what the command wrote before, the newest is kept (bytes %d to %d have gone)\n", e.Gap.From, e.Gap.To)
			continue
		}
		broken = 0
		to := c.s.Out
		if e.Type == execapi.FrameStderr {
			to = c.s.Err
		}
		if _, err := to.Write(e.Data); err != nil {
			if errors.Is(err, syscall.EPIPE) { // it has no reader left: the command ends as by a closed pipe
				_ = stream.Signal(int(unix.SIGPIPE))
				return execapi.Final{Code: leftCode(syscall.SIGPIPE)}, nil
			}
			return execapi.Final{}, fmt.Errorf("cannot write the command's output: %w", err)
		}
	}
}

// input sends what the operator types until its end. keys, of a terminal, leave the exec.
func (c *client) input(withKeys bool) {
	var from io.Reader = c.s.In
	if withKeys {
		from = &keys{from: c.s.In, detach: func() { close(c.detach) }}
	}
	stream := c.stream.Load()
	if _, err := io.Copy(stream, from); err == nil {
		_ = stream.CloseInput()
	}
}

// Keys that leave an exec with a terminal: Ctrl-^, then d. Ctrl-^ twice is one for the exec. It is hardly ever typed;
// docker's ctrl-p is every shell's previous line.
const (
	escapeKey = 0x1e
	detachKey = 'd'
)

// DetachKeys is their name.
const DetachKeys = "Ctrl-^ d"

// keys reads what is typed and looks for the keys that leave.
type keys struct {
	from    io.Reader
	detach  func()
	escaped bool
}

func (k *keys) Read(b []byte) (int, error) {
	for {
		n, err := k.from.Read(b[:max(1, len(b)/2)])
		kept := b[:0:len(b)]
		var out []byte
		for _, c := range append([]byte(nil), b[:n]...) {
			switch {
			case k.escaped && c == detachKey:
				k.detach()
				return 0, errDetached
			case k.escaped && c != escapeKey:
				out = append(out, escapeKey, c)
				k.escaped = false
			case k.escaped:
				out = append(out, c)
				k.escaped = false
			case c == escapeKey:
				k.escaped = true
			default:
				out = append(out, c)
			}
		}
		kept = append(kept, out...)
		if len(kept) > 0 || err != nil {
			return len(kept), err
		}
	}
}

// terminalOf is the size of the operator's terminal; nil when f is none.
func terminalOf(f *os.File) *execapi.Size {
	if !terminal.Is(f) {
		return nil
	}
	w, h := terminal.Size(f)
	return &execapi.Size{Rows: uint16(h), Columns: uint16(w)}
}
