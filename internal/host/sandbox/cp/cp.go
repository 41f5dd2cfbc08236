package cp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
	"github.com/matrx/sandbox/internal/tarstream"
)

// Options say how to copy.
type Options struct {
	Follow bool // when the source itself is a symbolic link, what it leads to

	In, Out  *os.File  // where "-" reads and writes
	Err      io.Writer // what is left out, and the progress
	Terminal bool      // Err is one
}

// endWithin is how long the inner end may take to give up when this program is told to.
const endWithin = 5 * time.Second

// Copy copies from one place to the other.
func Copy(ctx context.Context, e *engine.Engine, d datadir.Dir, src, dst Place, o Options) error {
	if err := Check(src, dst); err != nil {
		return err
	}
	id := src.ID + dst.ID // one of them is empty
	if err := runs(ctx, e, d, id); err != nil {
		return err
	}
	p := &tarstream.Progress{}
	stop := o.show(p)
	defer stop()
	x := exec{e: e, d: d, id: id, Options: o, progress: p}
	done := make(chan error, 1)
	go func() {
		if src.ID == "" {
			done <- x.in(ctx, src, dst)
		} else {
			done <- x.out(ctx, src, dst)
		}
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case <-done: //nolint:errcheck // that it was called off is what is said
		case <-time.After(endWithin):
		}
		err = ctx.Err()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("cannot copy %s to %s: %w", src, dst, err)
	}
	return nil
}

// runs finds out whether there is anything to copy from or to, and says what to do instead.
func runs(ctx context.Context, e *engine.Engine, d datadir.Dir, id string) error {
	entry, err := inventory.Find(ctx, e, d, id)
	if err != nil || entry.Running {
		return err
	}
	mend := fmt.Sprintf("its home is in S3: `sandbox run --user-id %s --detach` starts another sandbox that has it", entry.UserID)
	if entry.Ended == nil || entry.Ended.Kept {
		mend = fmt.Sprintf("`sandbox save %s` saves what it has kept, and `sandbox run --user-id %s --detach` starts another that has it", id, entry.UserID)
	}
	return fmt.Errorf("cannot copy from or to the sandbox %s: it does not run; %s", id, mend)
}

// exec is a copy through a command in a sandbox.
type exec struct {
	e  *engine.Engine
	d  datadir.Dir
	id string
	Options
	progress *tarstream.Progress
}

// command runs the inner end, and makes an error of how it went.
func (x exec) command(ctx context.Context, in *os.File, out io.Writer, args ...string) error {
	var said tail
	code, err := run.Exec(ctx, x.e, x.d, x.id, run.ExecOptions{
		Command: append([]string{contract.InitBinary}, args...), Interactive: true,
	}, run.Streams{In: in, Out: out, Err: &said})
	lines := said.lines()
	var last string
	if code != 0 && len(lines) > 0 {
		last, lines = lines[len(lines)-1], lines[:len(lines)-1]
	}
	for _, l := range lines {
		x.say(l)
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

func (x exec) say(text string) {
	clear := ""
	if x.Terminal {
		clear = "\r\x1b[K"
	}
	fmt.Fprintf(x.Err, "%ssandbox: %s\n", clear, text)
}

func (x exec) note(name, reason string) {
	x.say(terminal.Plain(fmt.Sprintf("left out %q: %s", name, reason), maxLine))
}

// in packs here and unpacks there. When packing fails, the stream ends before its end, and
// the inner end fails as well: what counts is why.
func (x exec) in(ctx context.Context, src, dst Place) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { w.Close() })()
	packed := make(chan error, 1)
	go func() {
		var err error
		if src.archive() {
			_, err = io.Copy(w, &reader{x.In, x.progress})
		} else {
			err = tarstream.Pack(w, src.Path, tarstream.PackOptions{Follow: x.Follow, Progress: x.progress, Note: x.note})
		}
		w.Close()
		packed <- err
	}()
	args := []string{tarstream.UnpackRole}
	if src.archive() {
		args = append(args, "--into")
	}
	err = x.command(ctx, r, io.Discard, append(args, tarstream.PathArguments(dst.Path)...)...)
	r.Close() // a packer that still writes gets an error
	if src.archive() {
		// Nothing calls off a read of a terminal or of another program's pipe.
		return err
	}
	if perr := <-packed; perr != nil && !errors.Is(perr, os.ErrClosed) && !isBrokenPipe(perr) {
		return perr
	}
	return err
}

// out packs there and unpacks here.
func (x exec) out(ctx context.Context, src, dst Place) error {
	held, hold, err := os.Pipe() // see the inner end: it gives up when this closes
	if err != nil {
		return err
	}
	defer held.Close()
	defer hold.Close()
	r, w := io.Pipe()
	defer context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })()
	unpacked := make(chan error, 1)
	go func() {
		var err error
		if dst.archive() {
			err = tarstream.Filter(x.Out, r, x.progress)
		} else {
			err = tarstream.Unpack(r, dst.Path, tarstream.UnpackOptions{Progress: x.progress, Note: x.note})
		}
		r.CloseWithError(err) // nil: what is still sent has no reader
		unpacked <- err
	}()
	args := []string{tarstream.PackRole}
	if x.Follow {
		args = append(args, "--follow")
	}
	err = x.command(ctx, held, w, append(args, tarstream.PathArguments(src.Path)...)...)
	w.Close()
	uerr := <-unpacked
	// One that was cut off has its reason there; any other is the reason.
	if uerr != nil && (err == nil || !errors.Is(uerr, tarstream.ErrCut)) {
		return uerr
	}
	return err
}
