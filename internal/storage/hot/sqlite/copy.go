package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// ErrChanged says that the database changed while it was copied without its locks.
var ErrChanged = errors.New("the database changed while it was copied")

// CopyTo writes the database to f, which is empty, or has a clone of the database's file that was
// made since Open. It gives the database's size.
func (s *Snapshot) CopyTo(ctx context.Context, f *os.File, cloned bool) (size int64, err error) {
	size = s.Stats.DB.Size
	if !cloned {
		if err := s.copyFile(ctx, f); err != nil {
			return 0, err
		}
	}
	if s.back != nil {
		if size, err = s.back.Apply(ctx, s.writes(f)); err != nil {
			return 0, err
		}
	}
	if s.frames > 0 {
		if size, err = s.log.Apply(ctx, s.reads(s.wal), s.frames, s.writes(f)); err != nil {
			return 0, errors.Join(err, s.unchanged())
		}
	}
	if err := f.Truncate(size); err != nil {
		return 0, err
	}
	return size, s.unchanged()
}

// copyBuffer is how much is copied at a time, in bytes.
const copyBuffer = 256 << 10

// copyFile copies the database's file, without the locks when it takes too long.
func (s *Snapshot) copyFile(ctx context.Context, f *os.File) error {
	b := make([]byte, copyBuffer)
	for off := int64(0); off < s.Stats.DB.Size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.locked && time.Now().After(s.until) {
			s.unlock()
		}
		n, err := s.reads(s.db).ReadAt(b[:min(int64(len(b)), s.Stats.DB.Size-off)], off)
		if n == 0 && err == io.EOF {
			return ErrChanged
		}
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := s.writes(f).WriteAt(b[:n], off); err != nil {
			return err
		}
		off += int64(n)
		if !s.locked {
			if err := s.unchanged(); err != nil {
				return err
			}
		}
	}
	return nil
}

// unchanged tells whether the names still lead to the files that were read, and these are as they
// were. Under the locks they are, unless something writes that does not know of locks.
func (s *Snapshot) unchanged() error {
	s.gate.Enter()
	defer s.gate.Leave()
	if i, err := s.dir.Lstat(s.name); err != nil || i.Stat != s.Stats.DB.Stat {
		return ErrChanged
	}
	if s.back != nil && member(s.dir, s.name+sqlitefile.JournalSuffix) != s.Stats.Journal {
		return ErrChanged
	}
	if s.frames == 0 {
		return nil
	}
	h, err := sqlitefile.Head(s.wal, sqlitefile.LogHeaderSize)
	if err != nil || !bytes.Equal(h, s.header[:]) || member(s.dir, s.name+sqlitefile.LogSuffix).Ino != s.Stats.WAL.Ino {
		return ErrChanged
	}
	return nil
}
