package tarstream

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// noFile says why something is left out, or refused where it alone was to be copied.
const noFile = "it is neither a file, a directory nor a link"

// mostMade bounds a file whose size is not known before it is read.
const mostMade = 16 << 20

// isMadeWhenRead says whether the kernel makes a file's content when it is read, as in /proc and /sys: the size
// that stat(2) gives of it, 0 or a page, says nothing.
func isMadeWhenRead(f *os.File) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC:
		return true
	}
	return false
}

// readMade reads such a file whole.
func readMade(f *os.File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, mostMade+1))
	if err != nil {
		return nil, err
	}
	if len(b) > mostMade {
		return nil, fmt.Errorf("it has more than %d MB, and the kernel does not tell how much", mostMade>>20)
	}
	return b, nil
}
