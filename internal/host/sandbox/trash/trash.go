// Package trash removes large trees in the background.
//
// A directory that is to go is renamed into the trash, which takes no longer than any rename, and is removed
// from there later and gently: a stop does not wait for the removal of 400,000 files, nor does any
// other sandbox. A removal that is cut off, by a kill of the process too, is taken up where it was.
//
// A home that a process still has mounted is not removed: its storage would take the removal for the
// workload's own and carry it out in S3.
//
// The trees are a workload's own making, and the process that removes them is root. So no symbolic link is
// followed and no mount entered, and a tree of any depth takes two open files: a directory
// that is not empty is moved up to the top of the tree instead of being descended into.
package trash

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir is a trash. Its entries are independent of each other.
type Dir struct{ path string }

// At is the trash at path, which is on the file system of all that is put into it.
func At(path string) Dir { return Dir{path} }

// Path is where it is.
func (d Dir) Path() string { return d.path }

// Put moves a directory into the trash. One that is not there is no error.
func (d Dir) Put(path, name string) error {
	err := os.Rename(path, filepath.Join(d.path, name+"-"+rand.Text()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot put %s into the trash: %w", path, err)
	}
	return nil
}

// Entries are the names of what is in the trash.
func (d Dir) Entries() ([]string, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, fmt.Errorf("cannot look into the trash: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot look into the trash: %w", err)
	}
	return names, nil
}

// Remove removes one entry, which is a directory. After each few files it calls pause, whose error ends it.
// What cannot be removed does not keep the rest, and is named in the error.
func (d Dir) Remove(name string, pause func() error) error {
	trash, err := openDir(unix.AT_FDCWD, d.path)
	if err != nil {
		return fmt.Errorf("cannot empty the trash %s: %w", d.path, err)
	}
	defer trash.Close()
	into, err := openDir(int(trash.Fd()), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", filepath.Join(d.path, name), err)
	}
	defer into.Close()
	if err := checkUnmounted(name); err != nil {
		return fmt.Errorf("cannot remove %s: %w", filepath.Join(d.path, name), err)
	}
	takeAll(into)
	r := newRemover(into, pause)
	for {
		if err = r.emptyTop(); err == nil {
			err = unlink(trash, name, unix.AT_REMOVEDIR)
		}
		if !errors.Is(err, unix.ENOTEMPTY) {
			break // else another process that removes the entry has moved something up
		}
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", filepath.Join(d.path, name), err)
	}
	return nil
}

// Empty removes all entries at once.
func (d Dir) Empty(ctx context.Context) error {
	names, err := d.Entries()
	for _, name := range names {
		err = errors.Join(err, d.Remove(name, ctx.Err))
	}
	return err
}

// remover removes one tree.
type remover struct {
	tops   []*top // what is moved up goes to the first of them that takes it; there is more than one in cross alone
	rename func(from int, name string, to int, as string) error
	pause  func() error
	since  int   // the last pause
	ended  error // what pause said
}

func newRemover(dir *os.File, pause func() error) *remover {
	return &remover{tops: []*top{{dir: dir}}, rename: unix.Renameat, pause: pause}
}

// top is a directory to which others are moved up.
type top struct {
	dir   *os.File
	moved int // in this pass
}

// pauseAfter is how many files are removed between two pauses.
const pauseAfter = 64

// emptyTop removes all that is in the last top. Each pass also takes what the one before has moved up.
func (r *remover) emptyTop() error {
	for t := r.tops[len(r.tops)-1]; ; {
		left, removed, err := r.pass(t.dir, r.emptyChild)
		// What was moved up while this pass went on may not have been listed.
		left += t.moved
		t.moved = 0
		if r.ended != nil {
			return r.ended
		}
		if left == 0 || removed == 0 {
			return err
		}
	}
}

// emptyChild empties a directory at the top: what in it is not empty either goes to the top.
func (r *remover) emptyChild(in *os.File, name string) error {
	child, err := openDir(int(in.Fd()), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process empties the trash as well
	}
	if err != nil {
		return err
	}
	defer child.Close()
	refused := false
	_, _, err = r.pass(child, func(in *os.File, name string) error {
		err := r.moveUp(in, name)
		refused = refused || errors.Is(err, unix.EXDEV)
		return err
	})
	if refused {
		err = r.cross(child)
	}
	if err != nil {
		return err
	}
	return unlink(in, name, unix.AT_REMOVEDIR)
}

func (r *remover) moveUp(in *os.File, name string) (err error) {
	for _, t := range r.tops {
		// Counted before: a pass may list it or not. Its name is of no name in the tree, which the workload has chosen.
		t.moved++
		if err = r.rename(int(in.Fd()), name, int(t.dir.Fd()), rand.Text()); !errors.Is(err, unix.EXDEV) {
			break
		}
		t.moved--
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rename", Path: name, Err: err}
	}
	return nil
}

// pass removes the entries of a directory; full is called for directories that are not empty. An entry
// that cannot be removed is left, counted and named.
func (r *remover) pass(dir *os.File, full func(in *os.File, name string) error) (left, removed int, err error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return 1, 0, err
	}
	for {
		names, rerr := dir.Readdirnames(pauseAfter)
		for _, name := range names {
			r.breathe()
			if r.ended != nil {
				return 1, 0, r.ended
			}
			if nerr := r.remove(dir, name, full); nerr != nil {
				if left++; left == 1 { // one says why, and there may be 400,000
					err = nerr
				}
				continue
			}
			removed++
		}
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, fs.ErrNotExist) { // of a directory that is removed meanwhile
			return left, removed, err
		}
		if rerr != nil {
			return 1, 0, rerr
		}
	}
}

func (r *remover) remove(dir *os.File, name string, full func(in *os.File, name string) error) error {
	err := unlink(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unlink(dir, name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		err = full(dir, name)
	}
	return err
}

// breathe calls pause when it is time.
func (r *remover) breathe() {
	if r.since++; r.since >= pauseAfter && r.ended == nil {
		r.since, r.ended = 0, r.pause()
	}
}

func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func unlink(dir *os.File, name string, flags int) error {
	err := unix.Unlinkat(int(dir.Fd()), name, flags)
	if err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}
