// Package unnamed makes files without a name: what a crash leaves of them is nothing.
package unnamed

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// File makes an empty file in dir that only its descriptor leads to, for reading and writing, with mode 0600. Where
// the file system (EOPNOTSUPP) or the kernel (EISDIR: gVisor) knows no O_TMPFILE, the file has a name for a
// moment: a process that is killed then leaves it in dir, empty.
func File(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return named(dir)
	}
	return f, err
}

func named(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".unnamed-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
