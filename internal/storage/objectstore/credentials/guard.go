package credentials

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// mostLinks is how many symbolic links one path may lead over, as for the kernel (path_resolution(7)).
const mostLinks = 40

// guard follows a path, link by link, to the file itself. It refuses a path at which another user than root and owner
// could put another file: each directory, each link and the file have to be theirs, and not to be written by others. In
// a directory with the sticky bit the others cannot touch what is theirs (unlink(2)).
func guard(path string, owner int) (file string, info os.FileInfo, err error) {
	if !filepath.IsAbs(path) {
		return "", nil, fmt.Errorf("%q is no absolute path", path)
	}
	file, rest := "/", components(path)
	for links := 0; ; {
		if info, err = os.Lstat(file); err != nil {
			return "", nil, err
		}
		if !isGuarded(info, owner) {
			return "", nil, fmt.Errorf("%s can be written by another user than root (chown root, chmod go-w)", file)
		}
		if info.Mode().Type() == os.ModeSymlink {
			if links++; links > mostLinks {
				return "", nil, &os.PathError{Op: "follow", Path: path, Err: syscall.ELOOP}
			}
			target, err := os.Readlink(file)
			if err != nil {
				return "", nil, err
			}
			file, rest = filepath.Dir(file), slices.Concat(components(target), rest)
			if filepath.IsAbs(target) {
				file = "/"
			}
		}
		if len(rest) == 0 {
			return file, info, nil
		}
		file, rest = filepath.Join(file, rest[0]), rest[1:]
	}
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

func isGuarded(info os.FileInfo, owner int) bool {
	if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid != 0 && uid != owner {
		return false
	}
	return info.Mode().Type() == os.ModeSymlink || info.Mode().Perm()&0o022 == 0 || info.IsDir() && info.Mode()&os.ModeSticky != 0
}
