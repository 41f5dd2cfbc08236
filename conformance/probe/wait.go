package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// wait returns when PATH exists. Its directory may not exist yet: then the nearest one
// that does is watched.
func wait(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return 1, fmt.Errorf("inotify: %w", err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	for {
		dir := filepath.Dir(path)
		for {
			if _, err := os.Stat(dir); err == nil || dir == "/" {
				break
			}
			dir = filepath.Dir(dir)
		}
		wd, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE_SELF)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return 1, fmt.Errorf("cannot watch %s: %w", dir, err)
		}
		// Looked at after the watch is set, so that nothing is missed between the two.
		if _, err := os.Lstat(path); err == nil {
			return 0, nil
		}
		if _, err := os.Stat(filepath.Dir(path)); err == nil && dir != filepath.Dir(path) {
			continue // the directory was made meanwhile
		}
		if _, err := unix.Read(fd, buf); err != nil && !errors.Is(err, unix.EINTR) {
			return 1, fmt.Errorf("inotify: %w", err)
		}
		_, _ = unix.InotifyRmWatch(fd, uint32(wd)) // gone already when its directory is
	}
}
