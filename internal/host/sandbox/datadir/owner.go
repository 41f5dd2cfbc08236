package datadir

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A user who may write in the data directory could replace records, sockets and the embedded
// S3's objects, and the program, perhaps root, would follow. So each part must belong to the
// user that runs it, and no other user may write in it or replace what is above it.

// checkOwner refuses a directory that another user owns or may write in.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("cannot see whose %s is: %w", dir, err)
	}
	switch mode := os.FileMode(st.Mode & 0o777); {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no directory; name the directory itself with --data-dir", dir)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to the user %d, and this program runs as %d; run it as that user, or choose another with --data-dir", dir, st.Uid, os.Geteuid())
	case mode&0o022 != 0:
		return fmt.Errorf("%s may be written by other users (mode %#o); `chmod go-w %s`, unless another user has changed files in it", dir, mode, dir)
	}
	return nil
}

// checkAbove refuses a directory that another user may move away: one above it is neither
// root's nor this user's, or may be written by all and is not sticky (inode(7)).
func checkAbove(dir string) error {
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		var st unix.Stat_t
		if err := unix.Stat(above, &st); err != nil {
			return fmt.Errorf("cannot see whose %s is: %w", above, err)
		}
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return fmt.Errorf("cannot use the data directory %s: other users may replace it, since %s belongs to the user %d and has the mode %#o; choose another with --data-dir", dir, above, st.Uid, st.Mode&0o7777)
		}
		if above == filepath.Dir(above) {
			return nil
		}
	}
}
