package cold

import (
	"context"
	"errors"
	"syscall"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// ErrInterrupted ends a wait whose caller got a signal.
var ErrInterrupted = errors.New("interrupted")

// Errno is what a program sees of an error. docs/cold.md has the table.
func Errno(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrInterrupted):
		return syscall.EINTR
	case errors.Is(err, cache.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return syscall.ENOSPC
	case errors.Is(err, objectstore.ErrPrecondition), errors.Is(err, objectstore.ErrNotFound):
		return syscall.ESTALE // a caller that asks for a name translates ErrNotFound itself
	case errors.Is(err, objectstore.ErrAccessDenied), errors.Is(err, objectstore.ErrBadCredentials), errors.Is(err, objectstore.ErrExpiredCredentials):
		return syscall.EACCES
	case errors.Is(err, posixattr.ErrKeyTooLong):
		return syscall.ENAMETOOLONG
	case errors.Is(err, lease.ErrLost):
		return syscall.EROFS
	case errors.As(err, &e):
		return e
	}
	return syscall.EIO
}

// away says that an error is S3's absence, for which what is known goes on being used.
func away(err error) bool {
	return errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoProgress)
}
