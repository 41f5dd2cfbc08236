package datadir

import (
	"context"
	"fmt"

	"github.com/fsnotify/fsnotify"

	"github.com/matrx/sandbox/contract"
)

// AwaitState waits until the state that sandbox-init writes is as wanted, or ctx is done.
func (s Sandbox) AwaitState(ctx context.Context, ok func(contract.State) bool) (contract.State, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return contract.State{}, fmt.Errorf("cannot watch the sandbox %s: %w", s.ID, err)
	}
	defer w.Close()
	// Before the first look: a change between the two would be missed.
	if err := w.Add(s.RunDir()); err != nil {
		return contract.State{}, fmt.Errorf("cannot watch the sandbox %s: %w", s.ID, err)
	}
	for {
		if st, err := s.State(); err == nil && ok(st) {
			return st, nil
		}
		select {
		case <-w.Events:
		case err := <-w.Errors:
			return contract.State{}, fmt.Errorf("cannot watch the sandbox %s: %w", s.ID, err)
		case <-ctx.Done():
			return contract.State{}, context.Cause(ctx)
		}
	}
}
