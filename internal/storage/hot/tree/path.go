package tree

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// errPath is the error of a path that cannot name anything below a root.
var errPath = errors.New("not a path below the home")

// NameMax is the longest name of one entry that Linux's file systems take, in bytes (NAME_MAX, limits.h).
const NameMax = 255

// check refuses a string that is not a path below a root: an empty component, ".", "..", a
// NUL, a leading or trailing slash. A name that is too long is the file system's to
// refuse: some allow less than NameMax.
func check(path string) error {
	rest := path
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
			return &fs.PathError{Op: "resolve", Path: path, Err: errPath}
		}
	}
	return nil
}

// Split cuts a path into the directory that holds it ("" for the root) and its name.
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// Join is the reverse of Split.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// checkName refuses a name that is not exactly one component.
func checkName(op, dir, name string) error {
	if name == "" || name == "." || name == ".." || strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0 {
		return &fs.PathError{Op: op, Path: Join(dir, name), Err: errPath}
	}
	return nil
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// IsNotDir says that something which is no directory stands where one is needed:
// a file, or a symbolic link, which is never followed.
func IsNotDir(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// IsDiskFull says that the disk, its inodes or a quota are used up.
func IsDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsRefused says that the file system will never take an entry of this name or size,
// so that trying again or trying the others is no use and no harm.
func IsRefused(err error) bool {
	return errors.Is(err, errPath) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EILSEQ) ||
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EOPNOTSUPP) ||
		IsNotDir(err) || errors.Is(err, syscall.EISDIR) || errors.Is(err, ErrMounted)
}
