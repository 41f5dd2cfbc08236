package control

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/matrx/sandbox/contract"
)

// A list goes through as many objects as there are below a prefix, for minutes perhaps. Of each
// class of clients mostLists run at a time, and mostWaitingLists more wait, for as long as their clients
// do; the connections that are left answer the other requests of the class.
const (
	mostLists        = 2
	mostWaitingLists = 8
)

// Why a list ends early, or does not begin.
var (
	errTooManyLists = errors.New("too many lists are asked for at a time; try again when one has ended")
	errStopping     = errors.New("the sandbox is stopping, and lists give way to what is to be saved")
)

// lists bounds the lists of a server, and ends them for what is to be saved.
type lists struct {
	next http.Handler

	mu      sync.Mutex
	allowed context.Context // of those that begin now
	end     context.CancelCauseFunc
	over    bool // none begins any more
}

func newLists(next http.Handler) *lists {
	l := &lists{next: next}
	l.allowed, l.end = context.WithCancelCause(context.Background())
	return l
}

// giveWay ends the lists that run or wait; forGood says that no other may follow.
func (l *lists) giveWay(forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(errStopping)
	if l.over = l.over || forGood; !l.over {
		l.allowed, l.end = context.WithCancelCause(context.Background())
	}
}

// ServeHTTP implements http.Handler.
func (l *lists) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	allowed := l.allowed
	l.mu.Unlock()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(allowed, func() { cancel(context.Cause(allowed)) })()
	if allowed.Err() != nil {
		cancel(context.Cause(allowed)) // AfterFunc takes a moment
	}
	leave, err := turnsOf(ctx).take(ctx)
	if err != nil {
		answer(w, http.StatusServiceUnavailable, contract.ControlError{Error: err.Error()})
		return
	}
	defer leave()
	l.next.ServeHTTP(w, r.WithContext(ctx))
}

// turns are the lists of one class of clients.
type turns struct {
	running chan struct{} // has a place for each
	waiting atomic.Int32
}

func newTurns() *turns { return &turns{running: make(chan struct{}, mostLists)} }

// take returns when the list may run, and an error when it may not.
func (t *turns) take(ctx context.Context) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	leave = func() { <-t.running }
	select {
	case t.running <- struct{}{}:
		return leave, nil
	default:
	}
	defer t.waiting.Add(-1)
	if t.waiting.Add(1) > mostWaitingLists {
		return nil, errTooManyLists
	}
	select {
	case t.running <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
