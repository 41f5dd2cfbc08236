package datadir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A sandbox that was killed holds its user's lease until that runs out, half a minute later. Its directory says that
// its INSTANCE is dead, so that the user's next sandbox need not wait. When the directory is removed before,
// this is remembered.

// deadAfter is far longer than any lease lasts.
const deadAfter = time.Hour

// deadFile is named by a digest: an INSTANCE is what a container has written.
func (d Dir) deadFile(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return filepath.Join(d.Hostd(), "dead", hex.EncodeToString(sum[:]))
}

// markDead remembers that no container of that INSTANCE runs, nor ever will.
func (d Dir) markDead(instance string) error {
	path := d.deadFile(instance)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot remember that the holder of a lease is dead: %w", err)
	}
	return nil
}

// IsDead says whether a sandbox of that INSTANCE was removed, a while ago at most.
func (d Dir) IsDead(instance string) bool {
	_, err := os.Lstat(d.deadFile(instance))
	return err == nil
}

// forgetDead forgets those whose leases have run out.
func (d Dir) forgetDead() error {
	dir := filepath.Dir(d.deadFile(""))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if fi, ierr := e.Info(); ierr == nil && time.Since(fi.ModTime()) > deadAfter {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
