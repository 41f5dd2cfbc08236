package execd

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// table has all execs. Those that have ended are forgotten after KeptFor, or when there are too many.
type table struct {
	mu      sync.Mutex
	known   map[string]*execution
	closed  bool // the sandbox stops: nothing more is started
	running int
	forgot  func(*execution)
}

func newTable(forgot func(*execution)) *table {
	return &table{known: map[string]*execution{}, forgot: forgot}
}

// admit adds one that is about to start.
func (t *table) admit(x *execution) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return execapi.ErrStopping.Because("cannot start %q: the sandbox is being stopped", x.spec.Args[0])
	case t.known[x.spec.ID] != nil:
		return execapi.ErrExists.Because("there is an exec of the ID %q already", x.spec.ID)
	case t.running >= execapi.MaxRunning:
		return execapi.ErrTooMany.Because("cannot start %q: %d execs run, the most that may at a time; wait for one to end, or remove one", x.spec.Args[0], t.running)
	}
	if len(t.known) >= execapi.MaxKnown {
		t.forgetOldestLocked()
	}
	t.running++
	t.known[x.spec.ID] = x
	return nil
}

// forgetOldestLocked forgets the one that ended first.
func (t *table) forgetOldestLocked() {
	var oldest *execution
	for _, x := range t.known {
		select {
		case <-x.over:
			if oldest == nil || x.final.Ended.Before(oldest.final.Ended) {
				oldest = x
			}
		default:
		}
	}
	if oldest != nil {
		t.dropLocked(oldest)
	}
}

func (t *table) dropLocked(x *execution) {
	if t.known[x.spec.ID] == x {
		if x.expiry != nil {
			x.expiry.Stop()
		}
		delete(t.known, x.spec.ID)
		t.forgot(x)
	}
}

// forget removes one that has ended, or never began.
func (t *table) forget(x *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-x.over:
	default:
		t.running-- // it never began
	}
	t.dropLocked(x)
}

// ended takes note that one has ended, and forgets it later.
func (t *table) ended(x *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	t.expireLaterLocked(x)
}

// expireLaterLocked keeps no memory for one that is forgotten before its time.
func (t *table) expireLaterLocked(x *execution) {
	if t.known[x.spec.ID] == x {
		x.expiry = time.AfterFunc(execapi.KeptFor, func() { t.expire(x) })
	}
}

func (t *table) expire(x *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(x)
}

// restore adds one that an earlier server has started.
func (t *table) restore(x *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[x.spec.ID] = x
	t.expireLaterLocked(x)
}

// find finds one.
func (t *table) find(id string) (*execution, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.known[id]
	if x == nil || !x.hasBegun() {
		return nil, execapi.ErrNotFound.Because("there is no exec %q; those that have ended are forgotten after %s", id, execapi.KeptFor)
	}
	return x, nil
}

// all gives all, the oldest first.
func (t *table) all() (list []*execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.known {
		if x.hasBegun() {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b *execution) int {
		return cmp.Or(a.started.Compare(b.started), cmp.Compare(a.spec.ID, b.spec.ID))
	})
	return list
}

// close admits no more.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}
