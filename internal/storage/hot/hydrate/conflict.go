package hydrate

import (
	"errors"
	"io/fs"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// moveAside makes a conflict copy of the file at a path: S3's keeps the name. The copy is
// a new file, which the sync uploads. A directory with nothing in it is no loss.
func (h *homeDir) moveAside(path string) error {
	return h.moveAsideWith(path, h.moveDatabase)
}

// moveOneAside is moveAside of a file alone.
func (h *homeDir) moveOneAside(path string) error {
	return h.moveAsideWith(path, func(_, _ string, rename func() error) error { return rename() })
}

// moveAsideWith renames a file by move.
func (h *homeDir) moveAsideWith(path string, move func(path, copied string, rename func() error) error) error {
	parent, name := tree.Split(path)
	if err := h.widen(parent); err != nil {
		return err
	}
	if i, err := h.Root.Lstat(path); err == nil && i.IsDir() && h.Root.Rmdir(path) == nil {
		return nil
	}
	for t := time.Now(); ; t = t.Add(time.Millisecond) {
		copied := tree.Join(parent, conflict.Name(name, h.Config.SandboxID, t))
		err := move(path, copied, func() error { return h.Root.Rename(path, copied) })
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if isAbsent(err) {
			return nil // the process that put it there took it away
		}
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.conflicts = append(h.conflicts, copied)
		h.mu.Unlock()
		h.Log.Warn("it was changed here and in S3: S3's keeps the name", "event", "conflict", "path", path, "copy", copied)
		return nil
	}
}

// clearWay makes room for a directory where something else is.
func (h *homeDir) clearWay(path string) error {
	i, err := h.Root.Lstat(path)
	if err != nil {
		if isAbsent(err) {
			return nil
		}
		return err
	}
	if i.IsDir() {
		return nil // it was made meanwhile: no room is needed
	}
	unchanged, err := h.unchanged(path, i)
	if err != nil {
		return err
	}
	if unchanged {
		// S3 has had it, and has it still or not any more: nothing is lost with it.
		err = h.removeSeen(path, i)
	}
	if !unchanged || errors.Is(err, tree.ErrChanged) {
		err = h.moveAside(path)
	}
	if err != nil {
		return err
	}
	return h.Journal.Forget(path)
}
