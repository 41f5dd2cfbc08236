package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func exists(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	if _, err := os.Lstat(p); err != nil {
		return 1, err
	}
	return 0, nil
}

// describe prints "file 0644 1000:1000 MTIME_NS CONTENT", "dir 0755 1000:1000 N entries",
// "link TARGET".
func describe(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	info, err := os.Lstat(p)
	if err != nil {
		return 1, err
	}
	st := info.Sys().(*syscall.Stat_t)
	owner := fmt.Sprintf("%d:%d", st.Uid, st.Gid)
	mode := st.Mode & 0o7777
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(p)
		fmt.Printf("link %s", target)
		return 0, err
	case info.IsDir():
		entries, err := os.ReadDir(p)
		fmt.Printf("dir %04o %s %d entries", mode, owner, len(entries))
		return 0, err
	default:
		data, err := os.ReadFile(p)
		fmt.Printf("file %04o %s %d %s", mode, owner, info.ModTime().UnixNano(), data)
		return 0, err
	}
}

func read(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	data, err := os.ReadFile(p)
	fmt.Print(string(data))
	return 0, err
}

func write(args []string) (int, error) {
	if len(args) != 2 {
		return 2, errors.New("write PATH TEXT")
	}
	return 0, os.WriteFile(args[0], []byte(args[1]), 0o644)
}

// writeMany makes DIR with N files, each with its number in it.
func writeMany(args []string) (int, error) {
	if len(args) != 2 {
		return 2, errors.New("write-many DIR N")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return 2, err
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return 1, err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(args[0], strconv.Itoa(i)), []byte(strconv.Itoa(i)), 0o644); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

func rename(args []string) (int, error) {
	if len(args) != 2 {
		return 2, errors.New("rename FROM TO")
	}
	return 0, os.Rename(args[0], args[1])
}

func remove(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	return 0, os.Remove(p)
}

func removeAll(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	return 0, os.RemoveAll(p)
}

func mkdir(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	return 0, os.MkdirAll(p, 0o755)
}

func touch(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	return 0, os.WriteFile(p, nil, 0o644)
}

func owner(args []string) (int, error) {
	p, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	info, err := os.Lstat(p)
	if err != nil {
		return 1, err
	}
	fmt.Printf("probe-owner %d\n", info.Sys().(*syscall.Stat_t).Uid)
	return 0, nil
}

// swap replaces a directory by a symbolic link to TARGET.
func swap(args []string) (int, error) {
	if len(args) != 2 {
		return 2, errors.New("swap PATH TARGET")
	}
	if err := os.RemoveAll(args[0]); err != nil {
		return 1, err
	}
	return 0, os.Symlink(args[1], args[0])
}

// newest prints regular files below the given directories that changed after PID 1 began.
func newest(args []string) (int, error) {
	first, err := os.Stat("/proc/1")
	if err != nil {
		return 1, err
	}
	var out []string
	for _, dir := range args {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			var info fs.FileInfo
			if err == nil {
				info, err = d.Info()
			}
			// What vanished, or is not ours to read, is nothing of hydrate's.
			if err == nil && info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Ctim.Sec >= first.ModTime().Unix() {
				out = append(out, p)
			}
			return nil
		})
		if err != nil {
			return 1, err
		}
	}
	fmt.Print(strings.Join(out, "\n"))
	return 0, nil
}
