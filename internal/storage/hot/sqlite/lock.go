package sqlite

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// ErrBusy says that a process has the database in a way that keeps every other process out:
// a transaction that is being written, or locking_mode=EXCLUSIVE.
var ErrBusy = errors.New("the database is locked by the process that uses it")

// Locks of the database file (sqlite3 os_unix.c, os.h).
const (
	reservedByte = sqlitefile.PendingByte + 1
	sharedFirst  = sqlitefile.PendingByte + 2
	sharedSize   = 510
)

// Locks of the wal-index (wal.c; os_unix.c, UNIX_SHM_BASE and UNIX_SHM_DMS).
const (
	checkpointByte = 121
	readMarkFirst  = 124 // of the marks that keep the log; mark 0, before them, does not
	readMarks      = 4
	liveByte       = 128 // every connection has a shared lock on it
)

// span is a range of bytes that is locked.
type span struct{ start, size int64 }

// lock takes a shared lock, or ErrBusy.
func lock(f *os.File, s span) error {
	_, err := control(f, unix.F_OFD_SETLK, unix.F_RDLCK, s)
	return err
}

func unlock(f *os.File, s span) error {
	_, err := control(f, unix.F_OFD_SETLK, unix.F_UNLCK, s)
	return err
}

// isLocked tells whether another process has any lock on a range.
func isLocked(f *os.File, s span) (bool, error) { return control(f, unix.F_OFD_GETLK, unix.F_WRLCK, s) }

// control is fcntl(2). held: of F_OFD_GETLK, another owner has a lock that keeps this one out.
func control(f *os.File, cmd int, kind int16, s span) (held bool, err error) {
	l := unix.Flock_t{Type: kind, Start: s.start, Len: s.size}
	for {
		err := unix.FcntlFlock(f.Fd(), cmd, &l)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.EACCES:
			return true, ErrBusy
		case nil:
			return l.Type != unix.F_UNLCK, nil
		}
		return false, os.NewSyscallError("fcntl", err)
	}
}

// lockShared takes SQLite's shared lock of a database.
func lockShared(db *os.File) error {
	pending := span{sqlitefile.PendingByte, 1}
	if err := lock(db, pending); err != nil {
		return err
	}
	return errors.Join(lock(db, span{sharedFirst, sharedSize}), unlock(db, pending))
}

func unlockShared(db *os.File) error { return unlock(db, span{sharedFirst, sharedSize}) }

// lockReadMark takes any of the read marks. Which one does not matter while no checkpoint
// runs: each of them keeps the log from being begun anew.
func lockReadMark(shm *os.File) (err error) {
	for i := range int64(readMarks) {
		if err = lock(shm, span{readMarkFirst + i, 1}); !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return err
}

// patiently tries until it succeeds or fails for another reason than ErrBusy, or until the time
// is up. There is no event to wait for: a lock that is waited for in the kernel (F_OFD_SETLKW) has
// no bound. SQLite waits in the same way.
func patiently(ctx context.Context, until time.Time, try func() error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := try()
		if !errors.Is(err, ErrBusy) || !time.Now().Before(until) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
