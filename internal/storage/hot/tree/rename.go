package tree

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Rename moves an entry into a directory of the same Root, and never replaces what
// has the name there (fs.ErrExist).
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	if err := errors.Join(checkName("rename", d.path, name), checkName("rename", to.path, toName)); err != nil {
		return err
	}
	if err := renameNew(d.fd, name, to.fd, toName); err != nil {
		return fmt.Errorf("rename %q to %q: %w", Join(d.path, name), Join(to.path, toName), err)
	}
	return nil
}

// Link gives a file a second name in the directory, and never replaces what has that (fs.ErrExist).
func (d *Dir) Link(name, toName string) error {
	if err := errors.Join(checkName("link", d.path, name), checkName("link", d.path, toName)); err != nil {
		return err
	}
	if err := unix.Linkat(d.fd, name, d.fd, toName, 0); err != nil {
		return fmt.Errorf("link %q to %q: %w", Join(d.path, name), Join(d.path, toName), err)
	}
	return nil
}

// RenameSeen is Rename within the directory of the file or symbolic link that seen describes,
// also when it was written to since. If that is not what has the name any more (it may be a
// directory by now), it stays, and the error is ErrChanged.
func (d *Dir) RenameSeen(name string, seen Info, toName string) error {
	if err := d.Rename(name, d, toName); err != nil {
		return err
	}
	now, err := d.Lstat(toName)
	if err == nil && now.Ino == seen.Ino && !now.IsDir() {
		return nil
	}
	if err := renameNew(d.fd, toName, d.fd, name); err != nil {
		return fmt.Errorf("cannot put back what was changed meanwhile, it is %q now: %w", Join(d.path, toName), err)
	}
	return pathError("rename", Join(d.path, name), ErrChanged)
}

// renameNew is renameat2(2) with RENAME_NOREPLACE, where the file system knows it.
func renameNew(fd int, name string, toFD int, toName string) error {
	err := unix.Renameat2(fd, name, toFD, toName, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return renameByLink(fd, name, toFD, toName)
	}
	return err
}

// renameByLink does without the flag: link(2) refuses a taken name as well. A
// directory cannot be linked, and is moved when nothing has the name: at worst
// rename(2) then replaces an empty directory.
func renameByLink(fd int, name string, toFD int, toName string) error {
	err := unix.Linkat(fd, name, toFD, toName, 0)
	switch err {
	case nil:
		return unix.Unlinkat(fd, name, 0)
	case unix.EPERM:
		var st unix.Stat_t
		if e := unix.Fstatat(toFD, toName, &st, unix.AT_SYMLINK_NOFOLLOW); e != unix.ENOENT {
			return unix.EEXIST
		}
		return unix.Renameat(fd, name, toFD, toName)
	}
	return err
}

// ErrChanged is the error when a name does not lead to what the caller had seen.
var ErrChanged = errors.New("changed meanwhile")

// ErrNotRegular is the error of opening a device, a socket, a FIFO or a directory as a file.
var ErrNotRegular = errors.New("not a regular file")

// exchange puts temp in name's place and unlinks what was there, if that is still
// what seen describes. The two trade places first (RENAME_EXCHANGE), so that what is
// unlinked is the file that was looked at, also while another process writes to name.
func (d *Dir) exchange(temp, name string, seen Info) error {
	before, err := d.Lstat(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ErrChanged
		}
		return err
	}
	if before.Stat != seen.Stat {
		return ErrChanged
	}
	return d.exchanged(temp, name, seen)
}

// exchanged is exchange from the moment at which name was looked at.
func (d *Dir) exchanged(temp, name string, seen Info) error {
	switch err := unix.Renameat2(d.fd, temp, d.fd, name, unix.RENAME_EXCHANGE); err {
	case nil:
	case unix.EINVAL, unix.ENOSYS: // not known to this file system: the stat above is all there is
		return unix.Renameat(d.fd, temp, d.fd, name)
	case unix.ENOENT:
		return ErrChanged
	default:
		return err
	}
	old, err := d.Lstat(temp)
	if err != nil {
		return err
	}
	if !old.SameContent(seen.Stat) || old.IsDir() {
		if err := unix.Renameat2(d.fd, temp, d.fd, name, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("cannot put back what was changed meanwhile, it is %q now: %w", Join(d.path, temp), err)
		}
		return ErrChanged
	}
	return unix.Unlinkat(d.fd, temp, 0)
}

// RemoveSeen unlinks the file or symbolic link that seen describes. If that is not what
// has the name any more, it stays, and the error is ErrChanged. It is moved to a
// temporary name first, so that the file that is unlinked is the one that was looked at.
func (d *Dir) RemoveSeen(name string, seen Info) error {
	if err := checkName("unlink", d.path, name); err != nil {
		return err
	}
	temp := d.root.tempName()
	if err := renameNew(d.fd, name, d.fd, temp); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return pathError("unlink", Join(d.path, name), err)
	}
	now, err := d.Lstat(temp)
	if err == nil && now.SameContent(seen.Stat) && !now.IsDir() {
		return pathError("unlink", Join(d.path, name), unix.Unlinkat(d.fd, temp, 0))
	}
	if err := renameNew(d.fd, temp, d.fd, name); err != nil {
		return fmt.Errorf("cannot put back what was changed meanwhile, it is %q now: %w", Join(d.path, temp), err)
	}
	return ErrChanged
}
