package cp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
	"github.com/matrx/sandbox/internal/tarstream"
)

// byServer is the sandbox's exec server.
type byServer struct {
	server *run.ExecServer
	say    func(text string)
}

func (i byServer) unpack(ctx context.Context, path string, into bool, from io.Reader) error {
	notes, err := i.server.TarIn(ctx, path, into, from)
	return i.told(notes, err)
}

// copyBuffer is how much of an archive one call moves.
const copyBuffer = 256 << 10

func (i byServer) pack(ctx context.Context, path string, follow bool, to io.Writer) error {
	packed, err := i.server.TarOut(ctx, path, follow)
	if err != nil {
		return i.told(nil, err)
	}
	defer packed.Close()
	defer context.AfterFunc(ctx, func() { packed.Close() })()
	if _, err := io.CopyBuffer(to, packed, make([]byte, copyBuffer)); err != nil && ctx.Err() == nil {
		return err
	}
	return i.told(packed.End())
}

// told shows what was left out, as plain text, since it comes from a process of the agent's.
func (i byServer) told(notes []string, err error) error {
	for _, n := range notes[:min(len(notes), execapi.MaxNotes+1)] {
		i.say(terminal.Plain(n, maxLine))
	}
	if p, ok := errors.AsType[*execapi.Problem](err); ok {
		return fmt.Errorf("as the agent: %s", terminal.Plain(p.Message, maxLine))
	}
	return err
}

// byCommand is a command that the engine starts, in a sandbox without an exec server.
type byCommand struct {
	e   *engine.Engine
	d   datadir.Dir
	id  string
	say func(text string)
}

func (i byCommand) unpack(ctx context.Context, path string, into bool, from io.Reader) error {
	args := []string{tarstream.UnpackRole}
	if into {
		args = append(args, "--into")
	}
	in, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close() // what still writes gets an error
	go func() {
		defer w.Close()
		_, _ = io.Copy(w, from) // one that ends too early is refused at the other end
	}()
	return i.run(ctx, in, io.Discard, append(args, tarstream.PathArguments(path)...)...)
}

func (i byCommand) pack(ctx context.Context, path string, follow bool, to io.Writer) error {
	held, hold, err := os.Pipe() // the command gives up when this closes
	if err != nil {
		return err
	}
	defer held.Close()
	defer hold.Close()
	args := []string{tarstream.PackRole}
	if follow {
		args = append(args, "--follow")
	}
	return i.run(ctx, held, to, append(args, tarstream.PathArguments(path)...)...)
}

// run runs the inner end, and makes an error of how it went.
func (i byCommand) run(ctx context.Context, in *os.File, out io.Writer, args ...string) error {
	var said tail
	code, err := run.Exec(ctx, func() (*engine.Engine, error) { return engine.Open(ctx) }, i.d, i.id, run.ExecOptions{
		Command: append([]string{contract.InitBinary}, args...), Interactive: true,
	}, run.Streams{In: in, Out: out, Err: &said})
	lines := said.lines()
	var last string
	if code != 0 && len(lines) > 0 {
		last, lines = lines[len(lines)-1], lines[:len(lines)-1]
	}
	for _, l := range lines {
		i.say(l)
	}
	switch {
	case err != nil:
		return err
	case code == 0:
		return nil
	case code == 2 && strings.Contains(last, "unknown flag"), code == 126, code == 127:
		return errors.New("the sandbox's image has a sandbox-init that does not copy; build the image again and start it anew")
	case last == "":
		return fmt.Errorf("the copying process in the sandbox has ended with code %d", code)
	}
	return fmt.Errorf("as the agent: %s", last)
}
