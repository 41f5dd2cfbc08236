package tree

import (
	"iter"
	"os"
)

// The operations of Dir by path. Each opens the directories on its way: a caller that does many
// in one directory opens that directory.

// Lstat reads an entry's attributes; "" is the home itself.
func (r *Root) Lstat(path string) (i Info, err error) {
	if path == "" {
		return r.dir.Stat()
	}
	err = r.in(path, func(d *Dir, name string) (err error) {
		i, err = d.Lstat(name)
		return err
	})
	return i, err
}

// Readlink reads the target of a symbolic link.
func (r *Root) Readlink(path string) (target string, err error) {
	err = r.in(path, func(d *Dir, name string) (err error) {
		target, err = d.Readlink(name)
		return err
	})
	return target, err
}

// Open opens a regular file for reading; anything else is ErrNotRegular.
func (r *Root) Open(path string) (f *os.File, err error) {
	err = r.in(path, func(d *Dir, name string) (err error) {
		f, err = d.Open(name)
		return err
	})
	return f, err
}

// Entries lists a directory, "" for the home; see Dir.Entries.
func (r *Root) Entries(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d, err := r.OpenDir(path)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer d.Close()
		d.Entries()(yield)
	}
}

// Mkdir makes one directory; its parent must be there.
func (r *Root) Mkdir(path string) error {
	return r.in(path, func(d *Dir, name string) error { return d.Mkdir(name) })
}

// Own gives an entry to the agent, when it is not its already.
func (r *Root) Own(path string) error {
	return r.in(path, func(d *Dir, name string) error { return d.Own(name) })
}

// Remove unlinks an entry that is not a directory.
func (r *Root) Remove(path string) error {
	return r.in(path, func(d *Dir, name string) error { return d.Remove(name) })
}

// Rmdir removes an empty directory.
func (r *Root) Rmdir(path string) error {
	return r.in(path, func(d *Dir, name string) error { return d.Rmdir(name) })
}

// SetAttr gives an entry its mode and mtime; see Dir.SetAttr.
func (r *Root) SetAttr(path string, a Attr) error {
	return r.in(path, func(d *Dir, name string) error { return d.SetAttr(name, a) })
}

// Create starts a file that will get the name path; see Dir.Create.
func (r *Root) Create(path string) (*Pending, error) {
	return r.create(path, (*Dir).Create)
}

// CreateSymlink starts a symbolic link that will get the name path; see Dir.CreateSymlink.
func (r *Root) CreateSymlink(path, target string) (*Pending, error) {
	return r.create(path, func(d *Dir, name string) (*Pending, error) { return d.CreateSymlink(name, target) })
}

func (r *Root) create(path string, create func(d *Dir, name string) (*Pending, error)) (*Pending, error) {
	parent, name := Split(path)
	d, err := r.OpenDir(parent)
	if err != nil {
		return nil, err
	}
	p, err := create(d, name)
	if err != nil {
		d.Close()
		return nil, err
	}
	p.closeDir = true
	return p, nil
}

// Rename moves an entry, a directory with all that is in it. It never replaces
// anything: a taken name is fs.ErrExist.
func (r *Root) Rename(from, to string) error {
	return r.in(from, func(fd *Dir, fromName string) error {
		return r.in(to, func(td *Dir, toName string) error { return fd.Rename(fromName, td, toName) })
	})
}

// RemoveSeen unlinks what seen describes; see Dir.RemoveSeen.
func (r *Root) RemoveSeen(path string, seen Info) error {
	return r.in(path, func(d *Dir, name string) error { return d.RemoveSeen(name, seen) })
}

// Chmod sets the permissions of a file or a directory.
func (r *Root) Chmod(path string, perm uint32) error {
	return r.in(path, func(d *Dir, name string) error { return d.Chmod(name, perm) })
}
