package stable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/unnamed"
	"github.com/matrx/sandbox/internal/threads"
)

// A database's version is that of all its files (package sqlite). Where its own file is the whole of
// it, that is read in place like any other: from the moment under the locks at which it was whole,
// it is the same version as long as its stat is the same. Else a copy is made under the locks.

// database is what a Source knows of a database.
type database struct {
	state   journal.Stat // of all its files
	changed time.Time
	image   *sqlite.Image // where there was no room for a copy
}

// IsDatabase tells whether the file is a database, whose other files are part of the content.
func (s *Source) IsDatabase() bool { return s.db != nil }

// fixDatabase fixes the version that the database is now.
func (s *Source) fixDatabase(ctx context.Context) error {
	if s.fixAtRest() == nil {
		return s.named()
	}
	err := s.underLocks(ctx, func(snap *sqlite.Snapshot) error {
		if !snap.Alone() || s.isYoung() {
			return s.copyDatabase(ctx, snap)
		}
		return s.fixInPlace()
	})
	if errors.Is(err, ErrMoved) {
		return ErrNotAtRest // under its locks: something writes to it that does not know of them
	}
	if err != nil {
		return err
	}
	return s.named()
}

// fixAtRest is fixDatabase without locks, of a database that no process is writing to. ErrMoved when the locks
// have to tell.
func (s *Source) fixAtRest() error {
	threads.Disk.Enter()
	stats, ok := sqlite.AtRest(s.dir, s.name, s.file)
	threads.Disk.Leave()
	if s.know(stats); !ok || s.isYoung() {
		return ErrMoved
	}
	return s.fixInPlace()
}

// fixInPlace fixes the version of a database of which the file is the whole.
func (s *Source) fixInPlace() error {
	s.size = s.Info.Size
	if s.size > s.opts.Small {
		return nil
	}
	return s.readSmall()
}

// isYoung tells whether the next write need not move the file's times.
func (s *Source) isYoung() bool {
	return !s.opts.Quiesced && s.began.Sub(time.Unix(0, s.Info.Ctime)).Abs() < tick
}

// know takes what is known of the database's files.
func (s *Source) know(stats sqlite.Stats) {
	s.Info, s.began = stats.DB, s.opts.now()
	s.db.state, s.db.changed = stats.State(), stats.Changed()
}

// settleDatabase is Settle of a database.
func (s *Source) settleDatabase(ctx context.Context) error {
	if err := s.underLocks(ctx, func(snap *sqlite.Snapshot) error { return s.copyDatabase(ctx, snap) }); err != nil {
		return err
	}
	return s.named()
}

// underLocks runs f while nothing writes to the database. What keeps it from being read now is ErrNotAtRest.
func (s *Source) underLocks(ctx context.Context, f func(*sqlite.Snapshot) error) error {
	snap, err := sqlite.Open(ctx, s.dir, s.name, s.file, threads.Disk)
	if err == nil {
		s.know(snap.Stats)
		err = errors.Join(f(snap), snap.Close())
	}
	for _, passing := range []error{sqlite.ErrBusy, sqlite.ErrChanged, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, passing) {
			return fmt.Errorf("%w (%w)", ErrNotAtRest, err)
		}
	}
	return err
}

// copyDatabase makes the Source read from the database as one file.
func (s *Source) copyDatabase(ctx context.Context, snap *sqlite.Snapshot) error {
	threads.Disk.Enter()
	f, cloned, err := s.emptyOrClone()
	threads.Disk.Leave()
	if errors.Is(err, ErrNotAtRest) && s.opts.Quiesced {
		return s.readInPlace(ctx, snap)
	}
	if err != nil {
		return err
	}
	size, err := snap.CopyTo(ctx, f, cloned)
	if err != nil {
		f.Close()
		return err
	}
	s.copy, s.size = f, size
	s.Info.Mtime = snap.Stats.Mtime()
	return nil
}

// readInPlace makes the Source read from the database's own files, as one. Nothing is left that could
// write to them.
func (s *Source) readInPlace(ctx context.Context, snap *sqlite.Snapshot) (err error) {
	if s.db.image, err = snap.Image(ctx); err == nil {
		s.size = s.db.image.Size()
	}
	return err
}

// emptyOrClone makes a file without a name: a clone of the database's where that can be had, which
// takes no time and no room, and an empty one elsewhere.
func (s *Source) emptyOrClone() (f *os.File, cloned bool, err error) {
	if f, err := cloneTarget(s.dir); err == nil {
		if unix.IoctlFileClone(int(f.Fd()), int(s.file.Fd())) == nil {
			return f, true, nil
		}
		f.Close()
	}
	var fs unix.Statfs_t
	if unix.Statfs(s.opts.TempDir, &fs) != nil || int64(fs.Bavail)*fs.Bsize <= 2*s.Info.Size {
		return nil, false, ErrNotAtRest // a copy must not take the disk from the workload
	}
	f, err = unnamed.File(s.opts.TempDir)
	if err != nil {
		err = s.fail("make a file for a copy of", err)
	}
	return f, false, err
}

// cloneTarget makes a file in a directory of the home that has no name there and never gets one: what is to be a clone has to be on its device.
func cloneTarget(d *tree.Dir) (*os.File, error) {
	fd, err := unix.Openat(d.Fd(), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "clone"), nil
}
