package hydrate

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// remover removes what S3 does not hold any more.
type remover struct{ *run }

// removeGone is the table for what the journal has and S3 has no more:
//
//	has it   unchanged  gone   removed, unless it was gone from here too: the deletion was ours then
//	has it   changed    gone   stays; without its entry it is a new file, and uploaded
//	has it   not there  gone   forgotten
//
// It is run after the listing reached its end, and on nothing less.
func (h remover) removeGone(ctx context.Context) error {
	var gone []journal.Entry
	for e := range h.Journal.All() {
		isDir := e.Key != "" && e.Key[len(e.Key)-1] == '/'
		if _, ok := h.find(e.Key); ok || h.rules.Match(e.Path, isDir) || h.kept[e.Key] {
			continue
		}
		gone = append(gone, e)
	}
	// A directory's entries before the directory.
	slices.SortFunc(gone, func(a, b journal.Entry) int { return -cmp.Compare(a.Path, b.Path) })
	for i := range gone {
		if i%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := h.removeOne(&gone[i]); err != nil {
			return err
		}
	}
	return nil
}

func (h remover) removeOne(e *journal.Entry) error {
	i, err := h.Root.Lstat(e.Path)
	switch {
	case isAbsent(err):
	case err != nil:
		return err
	case h.isOurs(e.Path): // it is there again, and is uploaded
	case h.isMember(e.Path): // its database is here, and says whether it is needed
	case i.IsDir() && e.IsMarker():
		if err := h.removeEmpty(e.Path); err != nil {
			return err
		}
	default:
		unchanged, err := h.gatedUnchanged(e.Path, i)
		if err == nil && unchanged {
			err = h.removeFile(e.Path, i)
		}
		if err != nil {
			return err
		}
	}
	return h.Journal.Forget(e.Path)
}

// isOurs tells whether this home may itself have deleted the object of a path.
func (h remover) isOurs(path string) bool {
	_, sent := h.Journal.Intent(path)
	return sent || h.Journal.HasTombstone(path)
}

func (h remover) removeFile(path string, seen tree.Info) error {
	parent, _ := tree.Split(path)
	if err := h.home.widen(parent); err != nil {
		return err
	}
	if err := h.removeSeen(path, seen); err != nil && !errors.Is(err, tree.ErrChanged) {
		return err
	}
	h.res.Removed++
	return h.removeEmpty(parent)
}

// removeSeen removes a file, and after a database what belongs to it: the other way round a kill
// would leave a database that was never true.
func (h *disk) removeSeen(path string, seen tree.Info) error {
	isDatabase := h.isDatabase(path)
	if err := h.Root.RemoveSeen(path, seen); err != nil || !isDatabase {
		return err
	}
	return h.removeMembers(path)
}

// removeEmpty removes a directory that S3 has nothing of, not even a marker, and those
// above it, as far as nothing is left in them: else the sync would upload it as an
// empty one.
func (h *run) removeEmpty(dir string) error {
	for dir != "" && !h.home.wanted(dir) && !h.rules.Match(dir, true) {
		parent, _ := tree.Split(dir)
		if err := h.home.widen(parent); err != nil {
			return err
		}
		err := h.Root.Rmdir(dir)
		switch {
		case errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist):
			return nil
		case isAbsent(err):
		case err != nil:
			return err
		default:
			h.res.Removed++
			if err := h.Journal.Forget(dir); err != nil {
				return err
			}
		}
		dir = parent
	}
	return nil
}
