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
func (o *observer) present(path string, i tree.Info) {
	if !o.isMember(path) {
		o.presentAs(path, i, o.state(path, i), true)
	}
}

// presentAs notes a file in a state, which is what the journal would keep of it; anew says whether it is
// known to have changed, or only seen to differ.
func (o *observer) presentAs(path string, i tree.Info, state journal.Stat, anew bool) {
	if !upload.Kept(i.Mode) {
		o.nameKind(path, i)
		o.p.sawNothing(path, true)
		return
	}
	o.p.sawFile(path, i.Size, state, anew)
}

// directory notes a directory that may need a marker; entries are in it, or not.
func (o *observer) directory(path string) {
	if path != "" {
		o.p.sawDirectory(path)
	}
}

// nameKind names what has no content to keep, once.
func (o *observer) nameKind(path string, i tree.Info) {
	kind := map[uint32]string{unix.S_IFSOCK: "a socket", unix.S_IFIFO: "a FIFO", unix.S_IFCHR: "a device", unix.S_IFBLK: "a device"}[i.Mode&unix.S_IFMT]
	o.nameOnce(path, kind+" has no content to keep")
}

// nameOnce says in the log, once, that a path is left out, and why.
func (o *observer) nameOnce(path, why string) {
	if o.named[path] {
		return
	}
	if len(o.named) < mostNamed {
		o.named[path] = true
	}
	o.h.log.Info("left out", "event", "not_kept", "path", path, "reason", why)
}

// mostNamed bounds the memory for what was named already.
const mostNamed = 10_000

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
