package tree

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

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
