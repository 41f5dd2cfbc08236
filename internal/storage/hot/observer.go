package hot

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
)

// observer is the one goroutine that looks at the disk. It takes the kernel's events in their
// order, scans, and lets its walker look. It knows nothing of the syncer. All its fields are its own,
// but for the requests.
type observer struct {
	*walker
	nextScan queue.Time // when the next one is due

	moves    []*move         // old names of renames whose new name was not seen yet
	emptied  map[string]bool // directories in which something was deleted
	newRules bool            // .sandboxignore has changed
	worked   bool            // something was seen in this turn

	requests
}

// requests are what other goroutines ask of the observer.
type requests struct {
	mu       sync.Mutex
	looks    []string // paths that a job found different from what it was made for
	calls    []func() // see do
	barriers []barrier
}

// barrier is closed when all that had happened before it was asked for has been observed.
type barrier struct {
	done chan struct{}
	scan bool // by a scan that began after it
}

// pause between two readings of the queue under load: the kernel joins equal events that
// follow each other, and a file that is written all the time need not be looked at more often.
const pause = 2 * time.Millisecond

func newObserver(h *home, p *pending) *observer {
	o := &observer{walker: newWalker(h, p), emptied: map[string]bool{}}
	var err error
	if o.watcher, err = watch.New(); err != nil {
		h.log.Warn("changes are found by scanning alone", "event", "no_watches", "error", err)
		o.limit()
		return o
	}
	o.add = o.watcher.Add
	return o
}

func (o *observer) run(ctx context.Context) error {
	if o.watcher != nil {
		defer o.watcher.Close()
	}
	stop := context.AfterFunc(ctx, o.poke)
	defer stop()
	for ctx.Err() == nil {
		if err := o.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// turn is one round: events, requests, a piece of a scan, and a wait when there is nothing to do.
func (o *observer) turn(ctx context.Context) error {
	asked := o.takeBarriers()
	began := o.p.now()
	drained, err := o.read(false)
	if err != nil {
		return err
	}
	o.settleMoves(began)
	o.answerLooks()
	o.finishBatch()
	o.step(ctx, began)
	if drained {
		o.caught(began)
	}
	o.release(asked, drained)
	if !drained || o.scan != nil || ctx.Err() != nil {
		return nil //nolint:nilerr // run looks at ctx
	}
	worked := o.worked
	o.worked = false
	return o.wait(ctx, worked)
}

// read takes what is queued. Not more than a full queue in one turn, so that a load that
// never ends does not keep everything else waiting.
func (o *observer) read(wait bool) (drained bool, err error) {
	if o.watcher == nil {
		return true, nil
	}
	for range mostReads {
		drained, err = o.watcher.Read(wait, o.event)
		if errors.Is(err, os.ErrClosed) {
			return true, nil
		}
		if drained || err != nil || wait {
			return drained, err
		}
	}
	return false, nil
}

const mostReads = 16

// caught tells the queue that everything that happened before began has been observed.
func (o *observer) caught(began queue.Time) {
	if o.blind || o.limited || len(o.moves) > 0 || o.watcher == nil {
		return // the end of a scan will
	}
	o.p.observedUpTo(began)
}

// finishBatch does what one batch of events has left to do.
func (o *observer) finishBatch() {
	if o.at != nil {
		o.at.Close()
		o.at = nil
	}
	for dir := range o.emptied {
		if o.dirs.Find(dir) != nil {
			o.directory(dir)
		}
		delete(o.emptied, dir)
	}
	if o.newRules {
		o.newRules = false
		if err := o.h.loadRules(); err != nil {
			o.h.log.Error("the rules of "+ignore.FileName+" stay as they were", "event", "ignore_failed", "error", err)
		} else {
			o.h.log.Info("the rules have changed; the home is scanned", "event", "ignore_changed")
			clear(o.excluded)
			o.nextScan = 0
		}
	}
	o.p.wake()
}

// wait waits for events, a request or the next scan. The pause comes first: see there. When
// something was seen in this turn, it only pauses: the next turn, which finds the queue
// empty after that, has caught up with it.
func (o *observer) wait(ctx context.Context, worked bool) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil
	}
	until := o.nextScan
	if len(o.moves) > 0 {
		until = min(until, o.moves[0].at+pairWithin)
	}
	left := until - o.p.now()
	if left <= 0 || worked || o.asked() {
		return nil
	}
	if o.watcher == nil {
		return o.waitWithout(ctx, left)
	}
	stop := time.AfterFunc(left, o.watcher.Wake)
	defer stop.Stop()
	_, err := o.read(true)
	return err
}

// waitWithout is wait without a watcher: requests end it by poke.
func (o *observer) waitWithout(ctx context.Context, left time.Duration) error {
	timer := time.NewTimer(left)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(pokeEvery):
			if o.asked() {
				return nil
			}
		}
	}
}

// pokeEvery is how often requests are looked for where there is nothing to be woken by.
const pokeEvery = 20 * time.Millisecond

func (o *observer) poke() {
	if o.watcher != nil {
		o.watcher.Wake()
	}
}

func (o *observer) asked() bool {
	o.requests.mu.Lock()
	defer o.requests.mu.Unlock()
	return len(o.looks) > 0 || len(o.calls) > 0 || len(o.barriers) > 0
}

// look asks for paths to be looked at.
func (o *observer) look(paths ...string) {
	if len(paths) == 0 {
		return
	}
	o.requests.mu.Lock()
	o.looks = append(o.looks, paths...)
	o.requests.mu.Unlock()
	o.poke()
}

// do runs f in the observer's goroutine.
func (o *observer) do(f func()) {
	o.requests.mu.Lock()
	o.calls = append(o.calls, f)
	o.requests.mu.Unlock()
	o.poke()
}

// catchUp returns when all that has happened up to now has been observed; with scan, the
// whole tree was looked at as well.
func (o *observer) catchUp(ctx context.Context, scan bool) error {
	b := barrier{done: make(chan struct{}), scan: scan}
	o.requests.mu.Lock()
	o.barriers = append(o.barriers, b)
	o.requests.mu.Unlock()
	o.poke()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeBarriers takes those that can be kept with what is done from now on.
func (o *observer) takeBarriers() []barrier {
	o.requests.mu.Lock()
	defer o.requests.mu.Unlock()
	asked := o.barriers
	o.barriers = nil
	return asked
}

// release ends the barriers that are kept, and puts the others back.
func (o *observer) release(asked []barrier, drained bool) {
	for _, b := range asked {
		if b.scan || o.blind || o.limited || o.watcher == nil {
			o.scanFor(b)
			continue
		}
		if drained && len(o.moves) == 0 {
			close(b.done)
			continue
		}
		o.requests.mu.Lock()
		o.barriers = append(o.barriers, b)
		o.requests.mu.Unlock()
	}
}

// answerLooks looks where jobs found something else than they were made for.
func (o *observer) answerLooks() {
	o.requests.mu.Lock()
	looks, calls := o.looks, o.calls
	o.looks, o.calls = nil, nil
	o.requests.mu.Unlock()
	for _, f := range calls {
		f()
	}
	for _, path := range looks {
		o.worked = true
		o.lookAt(path)
	}
}
