package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errStalled = errors.New("the connection moved nothing for too long")

// watch ends an attempt whose connection moves nothing. It is the attempt's context, with
// a clock that each piece of progress sets back.
type watch struct {
	ctx    context.Context
	caller context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// newWatch calls closeIdle before it ends an attempt: a router that has forgotten one connection without a
// word has forgotten the idle ones too, and the next attempt must not be sent over one of those.
func newWatch(ctx context.Context, limit time.Duration, closeIdle func()) *watch {
	w := &watch{caller: ctx, limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(w.limit, func() { closeIdle(); w.cancel(errStalled) })
	return w
}

func (w *watch) progress() { w.timer.Reset(w.limit) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain says why the attempt ended, where the transport only knows that it was cancelled.
func (w *watch) explain(err error) error {
	if err != nil && errors.Is(err, context.Canceled) {
		if c := context.Cause(w.ctx); c != nil && !errors.Is(c, context.Canceled) {
			return c
		}
	}
	return err
}

// sendBody is the body of one attempt. The transport may go on reading it after the
// response has come, and even after RoundTrip has failed; wait returns when it no longer does.
type sendBody struct {
	section *io.SectionReader
	watch   *watch
	sent    int64
	closed  chan struct{}
	err     error // of the local reader; good after wait
}

func newSendBody(r io.ReaderAt, size int64, w *watch) *sendBody {
	return &sendBody{section: io.NewSectionReader(r, 0, size), watch: w, closed: make(chan struct{})}
}

func (b *sendBody) Read(p []byte) (int, error) {
	// The caller's own Err, not that of a context made of it: a write behind a lease looks at
	// the clock there, and a process that wakes from a pause must not send on.
	if b.watch.caller.Err() != nil {
		return 0, context.Cause(b.watch.caller)
	}
	b.watch.progress()
	n, err := b.section.Read(p)
	b.sent += int64(n)
	if errors.Is(err, io.EOF) && b.sent < b.section.Size() {
		err = fmt.Errorf("cannot read the content to write: %w", io.ErrUnexpectedEOF)
	}
	if err != nil && !errors.Is(err, io.EOF) && b.err == nil {
		b.err = err
	}
	return n, err
}

func (b *sendBody) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

func (b *sendBody) wait() { <-b.closed }
