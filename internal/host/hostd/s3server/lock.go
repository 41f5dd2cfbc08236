package s3server

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errInUse says that another server serves the data directory.
var errInUse = errors.New("another server serves it")

// lockData takes the data directory for this process. The lock is on the open
// directory itself, so it leaves no file among the buckets and goes with the
// process, however that ends. lockData does not wait: a held lock is errInUse.
func lockData(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w; stop it, or choose another directory", errInUse)
		}
		return nil, fmt.Errorf("cannot serve the data directory %q: %w", dir, err)
	}
	return f, nil
}
