package hostd

import (
	"context"
	"log/slog"
	"sync"

	"github.com/matrx/sandbox/internal/host/sandbox/trash"
)

// emptier removes what is in the trash of the data directory, one entry after the other, in the background:
// nothing waits for it, and it holds no lock. While there is something to remove the daemon stays.
type emptier struct {
	trash trash.Dir
	log   *slog.Logger
	work  *sync.WaitGroup
	need  func(change int) // see Daemon.need

	remove func(ctx context.Context, name string) error // trash.Dir.RemoveGently

	mu     sync.Mutex
	busy   bool
	failed map[string]bool // what this daemon cannot remove, and does not stay for
}

// look begins to empty the trash if there is something in it. Each sweep calls it, so that a removal which
// ended with another daemon goes on.
func (e *emptier) look(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy || len(e.entriesLocked()) == 0 {
		return
	}
	e.busy = true
	e.need(+1)
	e.work.Go(func() {
		defer e.need(-1)
		e.empty(ctx)
	})
}

// empty removes what is there, and what comes meanwhile.
func (e *emptier) empty(ctx context.Context) {
	for {
		name := e.next(ctx)
		if name == "" {
			return
		}
		err := e.remove(ctx, name)
		if err == nil || ctx.Err() != nil {
			continue
		}
		e.log.Error("what a sandbox has left cannot be removed; remove it by hand", "event", "trash_stuck", "error", err.Error())
		e.mu.Lock()
		e.failed[name] = true
		e.mu.Unlock()
	}
}

// next is an entry to remove; when there is none, look begins anew.
func (e *emptier) next(ctx context.Context) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if names := e.entriesLocked(); len(names) > 0 && ctx.Err() == nil {
		return names[0]
	}
	e.busy = false
	return ""
}

func (e *emptier) entriesLocked() []string {
	names, err := e.trash.Entries()
	if err != nil {
		e.log.Warn("the trash cannot be read", "event", "trash_unreadable", "error", err.Error())
	}
	out := names[:0]
	for _, name := range names {
		if !e.failed[name] {
			out = append(out, name)
		}
	}
	return out
}

func newEmptier(d *Daemon, remove func(context.Context, string) error) *emptier {
	return &emptier{trash: d.Dir.Trash(), log: d.Log, work: &d.work, need: d.need, remove: remove, failed: make(map[string]bool)}
}
