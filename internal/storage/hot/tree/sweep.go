package tree

import (
	"errors"
	"io/fs"
)

// pathMax is the longest path that a key can have (S3's limit of a key, in bytes). It
// bounds how deep the sweep goes, which holds a descriptor a level.
const pathMax = 1024

// RemoveTemps removes the temporary files that an earlier process left anywhere in
// the home; those of this Root stay. It enters no other file system, and no directory
// for which skip (which may be nil) answers true. It goes on past what it cannot read
// and gives all errors together. A directory whose path is longer than pathMax is
// left alone: no key leads there, so no file was ever written there.
func (r *Root) RemoveTemps(skip func(dir string) bool) (removed int, err error) {
	home, err := r.dir.Stat()
	if err != nil {
		return 0, err
	}
	d, err := r.OpenDir("")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return d.removeTemps(home.Dev, skip)
}

func (d *Dir) removeTemps(dev uint64, skip func(dir string) bool) (removed int, err error) {
	var dirs []string
	for e, e2 := range d.Entries() {
		if e2 != nil {
			if !errors.Is(e2, fs.ErrNotExist) {
				err = errors.Join(err, e2)
			}
			break
		}
		switch {
		case e.IsDir():
			dirs = append(dirs, e.Name)
		case IsTemp(e.Name) && !d.root.ownTemp(e.Name):
			if e3 := d.Remove(e.Name); e3 != nil {
				err = errors.Join(err, e3)
			} else {
				removed++
			}
		case e.Type == 0:
			if i, e3 := d.Lstat(e.Name); e3 == nil && i.IsDir() {
				dirs = append(dirs, e.Name)
			}
		}
	}
	for _, name := range dirs {
		if len(d.path)+1+len(name) > pathMax {
			continue
		}
		if skip != nil && skip(Join(d.path, name)) {
			continue
		}
		n, e := d.removeTempsIn(name, dev, skip)
		removed += n
		err = errors.Join(err, e)
	}
	return removed, err
}

func (d *Dir) removeTempsIn(name string, dev uint64, skip func(dir string) bool) (int, error) {
	sub, err := d.OpenDir(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || IsNotDir(err) || errors.Is(err, ErrMounted) {
			return 0, nil // gone or replaced since it was listed, or no part of the home
		}
		return 0, err
	}
	defer sub.Close()
	if i, err := sub.Stat(); err != nil || i.Dev != dev {
		return 0, err
	}
	return sub.removeTemps(dev, skip)
}
