package tree

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrMounted is the error of a path at which, or above which, something is mounted in the home. That is not the
// home, also where a part of the same file system is mounted, and before [Root.Mounts] was asked.
var ErrMounted = errors.New("it is mounted here, and no part of the home")

// mountOf is the number of the mount that a descriptor was reached by, 0 where the kernel does not tell (before
// Linux 5.8).
func mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, err
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, nil
	}
	return st.Mnt_id, nil
}

// onHome is ErrMounted for a descriptor that was reached by another mount than the home's. Mounts are a tree, so
// that what lies below another mount is on another one too.
func (r *Root) onHome(fd int) error {
	mount, err := mountOf(fd)
	if err == nil && mount != r.mount {
		return ErrMounted
	}
	return err
}

// Mounts are the paths at which something else is mounted over the home's own files and
// directories (config maps, secrets, tmpfs, bind mounts of single files), in order: what the
// kernel shows of this process's mount namespace (proc_pid_mountinfo(5)). The mount that the home
// itself may be is not one of them.
func (r *Root) Mounts() ([]string, error) {
	home, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.dir.fd))
	if err != nil {
		return nil, fmt.Errorf("cannot find out where the home is: %w", err)
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list the mounts in the home: %w", err)
	}
	return mountsBelow(home, string(info)), nil
}

// mountsBelow reads a mountinfo: the fifth field of each line is a mount point.
func mountsBelow(home, info string) (paths []string) {
	prefix := strings.TrimSuffix(home, "/") + "/"
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if path, ok := strings.CutPrefix(unescapeOctal(fields[4]), prefix); ok && check(path) == nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// unescapeOctal takes back what the kernel writes for a blank, a tab, a newline and a backslash.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
