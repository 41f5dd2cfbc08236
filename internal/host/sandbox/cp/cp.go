package cp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

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
// open connects to the engine, which is asked only where the sandbox has no exec server or is not ready.
func Copy(ctx context.Context, open func() (*engine.Engine, error), d datadir.Dir, src, dst Place, o Options) error {
	if err := Check(src, dst); err != nil {
		return err
	}
	p := &tarstream.Progress{}
	stop := o.show(p)
	defer stop()
	x := copying{Options: o, progress: p}
	close, err := x.reach(ctx, open, d, src.ID+dst.ID) // one of them is empty
	if err != nil {
		return err
	}
	defer close()
	done := make(chan error, 1)
	go func() {
		if src.ID == "" {
			done <- x.in(ctx, src, dst)
		} else {
			done <- x.out(ctx, src, dst)
		}
	}()
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

// reach finds the end in the sandbox.
func (x *copying) reach(ctx context.Context, open func() (*engine.Engine, error), d datadir.Dir, id string) (close func(), err error) {
	server, err := run.ConnectExec(ctx, d, id)
	if err == nil {
		x.inner = byServer{server, x.say}
		return server.Close, nil
	}
	if !errors.Is(err, run.ErrNoServer) {
		return nil, err
	}
	e, err := open()
	if err != nil {
		return nil, err
	}
	if err := runs(ctx, e, d, id); err != nil {
		e.Close()
		return nil, err
	}
	server, _, _, err = run.AwaitExec(ctx, e, d, id, run.Streams{Err: x.Err})
	switch {
	case err == nil:
		e.Close()
		x.inner = byServer{server, x.say}
		return server.Close, nil
	case errors.Is(err, run.ErrNoServer):
		x.inner = byCommand{e, d, id, x.say}
		return func() { e.Close() }, nil
	}
	e.Close()
	return nil, err
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

// copying is a copy under way.
type copying struct {
	Options
	inner    inner
	progress *tarstream.Progress
}

// inner is the end of a copy in the sandbox. Its errors are what the agent's rights, or its files, did not allow.
type inner interface {
	unpack(ctx context.Context, path string, into bool, from io.Reader) error
	pack(ctx context.Context, path string, follow bool, to io.Writer) error
}

func (x copying) say(text string) {
	clear := ""
	if x.Terminal {
		clear = "\r\x1b[K"
	}
	fmt.Fprintf(x.Err, "%ssandbox: %s\n", clear, text)
}

func (x copying) note(name, reason string) {
	x.say(terminal.Plain(fmt.Sprintf("left out %q: %s", name, reason), maxLine))
}

// in packs here and unpacks there. When packing fails, the stream ends before its end, and
// the inner end fails as well: what counts is why.
func (x copying) in(ctx context.Context, src, dst Place) error {
	r, w := io.Pipe()
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
	err := x.inner.unpack(ctx, dst.Path, src.archive(), r)
	r.Close() // a packer that still writes gets an error
	if src.archive() {
		// Nothing calls off a read of a terminal or of another program's pipe.
		return err
	}
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return perr
	}
	return err
}

// out packs there and unpacks here.
func (x copying) out(ctx context.Context, src, dst Place) error {
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
	err := x.inner.pack(ctx, src.Path, x.Follow, w)
	w.Close()
	uerr := <-unpacked
	// One that was cut off has its reason there; any other is the reason.
	if uerr != nil && (err == nil || !errors.Is(uerr, tarstream.ErrCut)) {
		return uerr
	}
	return err
}
