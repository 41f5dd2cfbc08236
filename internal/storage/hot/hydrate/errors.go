package hydrate

import (
	"errors"
	"fmt"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// errDiskFull is the error, for errors.Is, of a home that does not fit on its disk.
var errDiskFull = errors.New("the disk is full")

var errMismatch = errors.New("a content is not the one that the manifest holds a hash of")

// DiskFullError says what is missing.
type DiskFullError struct {
	Home                  string
	NeedBytes, HaveBytes  int64 // of what is still to be written
	NeedInodes, HaveFiles int64 // inodes; NeedInodes is 0 when they are not what is missing
	Err                   error // of the file system, when it was met while writing; else nil
}

func (e *DiskFullError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the disk of %s is full: %v; give it more room or remove what fills it", e.Home, e.Err)
	}
	if e.NeedInodes > 0 {
		return fmt.Sprintf("the disk of %s is too small: %d files are to be written and it has room for %d (inodes); give it a larger file system", e.Home, e.NeedInodes, e.HaveFiles)
	}
	return fmt.Sprintf("the disk of %s is too small: %s are to be written and %s are free; give it %s more", e.Home,
		megabytes(e.NeedBytes), megabytes(e.HaveBytes), megabytes(e.NeedBytes-e.HaveBytes))
}

// Is makes it errDiskFull.
func (e *DiskFullError) Is(target error) bool { return target == errDiskFull }

// Unwrap gives the file system's error.
func (e *DiskFullError) Unwrap() error { return e.Err }

func megabytes(n int64) string {
	return fmt.Sprintf("%d MB", (max(n, 0)+999_999)/1_000_000)
}

// TimeoutError says that HYDRATE_TIMEOUT_SECONDS went by.
type TimeoutError struct {
	After       time.Duration
	Files, Want int64 // written, of how many; Want is 0 when that was not known yet
}

func (e *TimeoutError) Error() string {
	done := "what there is was not even listed"
	if e.Want > 0 {
		done = fmt.Sprintf("%d of %d files had come, and the next start goes on from there", e.Files, e.Want)
	}
	return fmt.Sprintf("it took longer than HYDRATE_TIMEOUT_SECONDS (%d): %s", int64(e.After.Seconds()), done)
}

// onDisk makes an error of the file system one that says what mends it.
func (h *disk) onDisk(err error) error {
	if err != nil && tree.IsDiskFull(err) && !errors.Is(err, errDiskFull) {
		return &DiskFullError{Home: h.Root.Name(), Err: err}
	}
	return err
}
