package run

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// claim makes the directory of a new sandbox, with its record and the lock on it. One of the same ID
// that has left nothing makes room.
func claim(sandboxDir datadir.Sandbox, r datadir.Record) (*datadir.Lock, error) {
	lock, err := sandboxDir.Make(r)
	if errors.Is(err, datadir.ErrExists) {
		if err = makeRoom(sandboxDir); err == nil {
			lock, err = sandboxDir.Make(r)
		}
	}
	return lock, err
}

func makeRoom(sandboxDir datadir.Sandbox) error {
	lock, err := sandboxDir.TryLock()
	if errors.Is(err, datadir.ErrCaredFor) {
		return fmt.Errorf("cannot make the sandbox %s: one of that ID runs; choose another --sandbox-id", sandboxDir.ID)
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	r, err := sandboxDir.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist): // what a program that was killed at once has left
	case err != nil: // one that cannot be read may have kept something
		return fmt.Errorf("cannot make the sandbox %s: %w; choose another --sandbox-id", sandboxDir.ID, err)
	case r.Ended == nil, !r.Ended.Kept && !r.Ended.Removed:
		return fmt.Errorf("cannot make the sandbox %s: one of that ID is being ended; try again, or choose another --sandbox-id", sandboxDir.ID)
	case r.Ended.Kept:
		return fmt.Errorf("cannot make the sandbox %s: one of that ID has ended with changes that may not be saved; `sandbox save %s` saves them", sandboxDir.ID, sandboxDir.ID)
	}
	return sandboxDir.Remove()
}
