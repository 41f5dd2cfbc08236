package fetch

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/threads"
)

// Content writes an object whose content is at hand: a small one, or one out of the
// bundle. sum is the content's SHA-256.
func (f *Fetcher) Content(o *objectstore.Object, key string, attr posixattr.Attr, content []byte, sum [32]byte, t Target) (journal.Entry, error) {
	if int64(len(content)) != o.Size {
		return journal.Entry{}, io.ErrUnexpectedEOF
	}
	var p *tree.Pending
	var err error
	switch attr.Type() {
	case posixattr.TypeSymlink:
		if p, err = f.symlink(t, key, content); err != nil {
			return journal.Entry{}, err
		}
	default:
		threads.Disk.Enter()
		defer threads.Disk.Leave()
		if p, err = t.Dir.Create(t.Name); err != nil {
			return journal.Entry{}, err
		}
		if err = p.WriteAll(content); err != nil {
			return journal.Entry{}, errors.Join(err, p.Abort())
		}
	}
	return f.committed(p, o, key, attr, sum, t)
}

// targetMax is the longest target that symlink(2) takes: PATH_MAX without its NUL.
const targetMax = 4095

func (f *Fetcher) symlink(t Target, key string, target []byte) (*tree.Pending, error) {
	if len(target) == 0 || len(target) > targetMax {
		return nil, &Refused{Key: key, Reason: fmt.Sprintf("a symbolic link to a name of %d bytes", len(target))}
	}
	return t.Dir.CreateSymlink(t.Name, string(target))
}

func (f *Fetcher) commit(p *tree.Pending, o *objectstore.Object, key string, attr posixattr.Attr, sum [32]byte, t Target) (journal.Entry, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return f.committed(p, o, key, attr, sum, t)
}

// committed gives the file its name and makes the entry of it.
func (f *Fetcher) committed(p *tree.Pending, o *objectstore.Object, key string, attr posixattr.Attr, sum [32]byte, t Target) (journal.Entry, error) {
	if t.Before != nil {
		if err := t.Before(); err != nil {
			return journal.Entry{}, errors.Join(err, p.Abort())
		}
	}
	a := tree.Attr{Mode: attr.Mode, Mtime: attr.Mtime}
	var i tree.Info
	var err error
	if t.Seen == nil {
		i, err = p.Commit(a)
	} else {
		i, err = p.Replace(a, *t.Seen)
	}
	if err != nil {
		return journal.Entry{}, err
	}
	return Entry(o, key, t.path(), attr, sum, i), nil
}

// Entry is what the journal keeps of an object that is at its path, where lstat says i.
// If that is not what the object has, something wrote to the file in the moment after
// it got its name: the stat is then marked Racy, and the content is compared again.
func Entry(o *objectstore.Object, key, path string, attr posixattr.Attr, sum [32]byte, i tree.Info) journal.Entry {
	e := journal.Entry{
		Path: path, Key: key, ETag: o.ETag, Size: o.Size, Mode: attr.Mode, Mtime: attr.Mtime,
		SHA256: sum, Modified: o.LastModified.Unix(), Local: i.Stat,
		Whole: o.Metadata[posixattr.WholeKey] != "",
	}
	// Some file systems keep times to two seconds.
	if off := time.Duration(i.Mtime - attr.Mtime).Abs(); !i.IsDir() && (i.Size != o.Size || off > 2*time.Second) {
		e.Local.Racy = true
	}
	return e
}
