package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A container whose mounted directory is not there cannot be started: the engine refuses it.
// That is the only way to keep one from being started that the engine's clients cannot go
// round, so it is what makes a verdict on an ended container stay true until the container
// is removed. A container that runs keeps the directory, under any name.

// SealedRunDir is where RunDir is while the container must not be started.
func (s Sandbox) SealedRunDir() string { return s.file("run.sealed") }

// Seal keeps the engine from starting the sandbox's container. A start that has begun before
// may still succeed: the engine answers a question about the container after that start.
// The caller holds the lock. Sealing twice is no error.
func (s Sandbox) Seal() error {
	err := os.Rename(s.RunDir(), s.SealedRunDir())
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(s.SealedRunDir())
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // neither is there, so nothing can be started
		}
	}
	if err != nil {
		return fmt.Errorf("cannot keep the sandbox %s from being started again: %w", s.ID, err)
	}
	return nil
}

// Unseal takes Seal back. The caller holds the lock.
func (s Sandbox) Unseal() error {
	err := os.Rename(s.SealedRunDir(), s.RunDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot let the sandbox %s be started again: %w", s.ID, err)
	}
	return nil
}
