package hot

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
)

// present notes what lstat says of a file, a link or something else that is no directory, and
// that has changed.
func (w *walker) present(path string, i tree.Info) {
	if !w.isMember(path) {
		w.presentAs(path, i, w.state(path, i), true)
	}
}

// presentAs notes a file in a state, which is what the journal would keep of it; anew says whether it is
// known to have changed, or only seen to differ.
func (w *walker) presentAs(path string, i tree.Info, state journal.Stat, anew bool) {
	if !upload.Kept(i.Mode) {
		w.nameKind(path, i)
		w.p.sawNothing(path, true)
		return
	}
	w.p.sawFile(path, i.Size, state, anew)
}

// directory notes a directory that may need a marker; entries are in it, or not.
func (w *walker) directory(path string) {
	if path != "" {
		w.p.sawDirectory(path)
	}
}

// nameKind names what has no content to keep, once.
func (w *walker) nameKind(path string, i tree.Info) {
	kind := map[uint32]string{unix.S_IFSOCK: "a socket", unix.S_IFIFO: "a FIFO", unix.S_IFCHR: "a device", unix.S_IFBLK: "a device"}[i.Mode&unix.S_IFMT]
	w.nameOnce(path, kind+" has no content to keep")
}

// nameOnce says in the log, once, that a path is left out, and why.
func (w *walker) nameOnce(path, why string) {
	if w.named[path] {
		return
	}
	if len(w.named) < mostNamed {
		w.named[path] = true
	}
	w.h.log.Info("left out", "event", "not_kept", "path", path, "reason", why)
}

// mostNamed bounds the memory for what was named already.
const mostNamed = 10_000

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
