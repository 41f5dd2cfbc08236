package conflict

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// Move gives a database the name of its conflict copy, with the files that belong to it; rename renames the
// database's own file. Where that fails, nothing has changed.
//
// A database without its log is an older one, or none. So each file that belongs to it first gets the new name
// beside the old one (a hard link), then the database is renamed, and then the old names go: at every instant the
// database has its files, under the name that it has, and a kill leaves at most a log that has no database.
func Move(d *tree.Dir, name, to string, rename func() error) error {
	linked, err := linkMembers(d, name, to)
	if err == nil {
		err = rename()
	}
	if err != nil {
		for _, m := range linked {
			err = errors.Join(err, removeIf(d, m.to, m.ino))
		}
		return err
	}
	for _, m := range linked {
		if err := m.moved(d); err != nil {
			return err
		}
	}
	return moveMembers(d, name, to)
}

// member is a file of a database that has two names.
type member struct {
	name, to string
	ino      uint64
}

func linkMembers(d *tree.Dir, name, to string) (linked []member, err error) {
	for _, m := range sqlite.Members(d, name) {
		at := to + m[len(name):]
		err := d.Link(m, at)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENAMETOOLONG):
			continue
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EMLINK):
			continue // the file system has no hard links: it is renamed after the database
		case err != nil:
			return linked, err
		}
		i, err := d.Lstat(at)
		if err != nil {
			return linked, err
		}
		linked = append(linked, member{m, at, i.Ino})
	}
	return linked, nil
}

// moved ends the old name. When that is not the file's any more, a process has closed the database meanwhile
// and has put into it what was in the log: applied once more, the log would undo what came after it.
func (m member) moved(d *tree.Dir) error {
	if i, err := d.Lstat(m.name); err == nil && i.Ino == m.ino {
		return removeIf(d, m.name, m.ino)
	}
	return removeIf(d, m.to, m.ino)
}

// moveMembers renames what has no link.
func moveMembers(d *tree.Dir, name, to string) error {
	for _, m := range sqlite.Members(d, name) {
		err := d.Rename(m, d, to+m[len(name):])
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENAMETOOLONG) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// attempts bounds how often a file that is written to all the time is tried to be removed.
const attempts = 8

// removeIf removes a name as long as it is a file's.
func removeIf(d *tree.Dir, name string, ino uint64) (err error) {
	for range attempts {
		i, lerr := d.Lstat(name)
		if lerr != nil || i.Ino != ino {
			return nil //nolint:nilerr // it is gone, or another file's by now
		}
		if err = d.RemoveSeen(name, i); !errors.Is(err, tree.ErrChanged) {
			return err
		}
	}
	return err
}
