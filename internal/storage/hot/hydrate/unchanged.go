package hydrate

import (
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/threads"
)

// unchanged tells whether what is at a path is still what the journal has of it. The stat tells,
// unless the file was stored when it was too young for that: then its content and its mode do.
// A file of which the journal has no hash counts as changed, which loses nothing.
func (h *disk) unchanged(path string, info tree.Info) (bool, error) {
	e, ok := h.Journal.Get(path)
	if !ok || !e.Local.LooksLike(h.state(path, info)) {
		return false, nil
	}
	if !e.Local.Racy {
		return true, nil
	}
	if e.SHA256 == [32]byte{} || !sameMode(e, info) {
		return false, nil
	}
	sums, err := h.hash(path, info, false)
	return err == nil && sums.sha256 == e.SHA256, err
}

// gatedUnchanged is unchanged, behind the gate.
func (h *disk) gatedUnchanged(path string, info tree.Info) (bool, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return h.unchanged(path, info)
}

// sameMode compares the bits of a mode that are kept. A link's permissions mean nothing.
func sameMode(e journal.Entry, info tree.Info) bool {
	const kept = unix.S_IFMT | unix.S_ISVTX | 0o777
	if info.IsSymlink() {
		return e.Mode&unix.S_IFMT == unix.S_IFLNK
	}
	return (e.Mode^info.Mode)&kept == 0
}

// replace lets an item be fetched into the place of the file that info describes.
func (h *run) replace(i int, info tree.Info) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items[i].verdict = fetched
	h.seen[i] = info
}
