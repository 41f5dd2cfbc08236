package stable

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/lmdb"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/unnamed"
	"github.com/matrx/sandbox/internal/threads"
)

// attempts at a copy in one Settle. More would keep a disk busy for a file that is
// written all the time; the next try is the caller's.
const attempts = 3

// Settle makes the Source read from a clone or a copy, to which no process writes. Info is then
// the stat from before it was made. ErrNotAtRest when that cannot be had now, tree.ErrChanged
// when the path leads elsewhere by now.
func (s *Source) Settle(ctx context.Context) error {
	if s.copy != nil {
		return nil
	}
	s.small = nil
	if s.db != nil {
		return s.settleDatabase(ctx)
	}
	err := s.clone()
	if err == nil {
		return s.named()
	}
	if !s.mayCopy() {
		return ErrNotAtRest
	}
	for range attempts {
		young := s.begin(ctx, 0)
		if young != nil && !errors.Is(young, ErrMoved) {
			return young
		}
		if err = s.copyNow(ctx, young != nil); !errors.Is(err, ErrMoved) {
			break
		}
	}
	if err == nil {
		return s.named()
	}
	if errors.Is(err, ErrMoved) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return ErrNotAtRest
	}
	return err
}

// mayCopy: a copy must not take the disk from the workload.
func (s *Source) mayCopy() bool {
	var fs unix.Statfs_t
	if s.Info.Size > s.opts.CopyMost || unix.Statfs(s.opts.TempDir, &fs) != nil {
		return false
	}
	return int64(fs.Bavail)*fs.Bsize > 2*s.Info.Size
}

// clone takes a reflink: a snapshot, as far as write(2) goes (the kernel holds the inode's
// lock meanwhile), made in no time. The file it goes to has no name and never gets one.
func (s *Source) clone() error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	before, err := tree.Fstat(s.file.Fd())
	if err != nil {
		return err
	}
	f, err := cloneTarget(s.dir)
	if err != nil {
		return err
	}
	if err := unix.IoctlFileClone(int(f.Fd()), int(s.file.Fd())); err != nil {
		f.Close()
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	// The clone may be newer than before, never older: a stat that is too old makes the
	// file be looked at again, one that is too new would hide a change.
	s.Info, s.copy, s.size, s.loose = before, f, st.Size(), true
	return nil
}

// copyNow copies an LMDB environment as it is after a whole number of transactions, and any other file
// as it is at one instant. ErrMoved when it is no such thing.
func (s *Source) copyNow(ctx context.Context, young bool) error {
	if !s.isEnvironment() {
		return s.copyWhole(ctx, young)
	}
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	f, err := unnamed.File(s.opts.TempDir)
	if err != nil {
		return s.fail("make a file for a copy of", err)
	}
	n, err := lmdb.Copy(ctx, s.file, f)
	if err == nil {
		err = f.Truncate(n)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, lmdb.ErrChanged) {
			return ErrMoved
		}
		return err
	}
	s.copy, s.size, s.loose = f, n, true
	return nil
}

// isEnvironment tells whether the file is an LMDB environment's data.
func (s *Source) isEnvironment() bool {
	var b [lmdb.HeaderSize]byte
	n, err := s.file.ReadAt(b[:], 0)
	return err == nil && lmdb.Is(b[:n])
}

// copyWhole copies the file as it is at one instant, or fails with ErrMoved. What a young
// file's stat says proves nothing: the next write may not move it.
func (s *Source) copyWhole(ctx context.Context, young bool) error {
	f, err := unnamed.File(s.opts.TempDir)
	if err != nil {
		return s.fail("make a file for a copy of", err)
	}
	n, err := s.each(ctx, -1, func(b []byte, off int64) error {
		_, err := f.WriteAt(b, off)
		return err
	})
	if err == nil {
		err = s.whole(ctx, f, n, young)
	}
	if err != nil {
		f.Close()
		return err
	}
	s.copy, s.size = f, n
	return nil
}

// whole tells whether a copy of n bytes is the file at one instant.
func (s *Source) whole(ctx context.Context, f *os.File, n int64, young bool) error {
	now, err := tree.Fstat(s.file.Fd())
	if err != nil {
		return err
	}
	same := now.Stat == s.Info.Stat
	if same && !young {
		return nil
	}
	if !same && (now.Size <= s.Info.Size || now.Size < n) {
		return ErrMoved // something else than appending was done
	}
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	was := buf[:]
	_, err = s.each(ctx, n, func(b []byte, off int64) error {
		if _, err := f.ReadAt(was[:len(b)], off); err != nil {
			return err
		}
		if !bytes.Equal(b, was[:len(b)]) {
			return ErrMoved
		}
		return nil
	})
	s.loose = true
	return err
}

// each hands over the file piece by piece, up to limit, or to its end when that is
// negative: until a read says that there is nothing more.
func (s *Source) each(ctx context.Context, limit int64, f func(b []byte, off int64) error) (int64, error) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	b := buf[:]
	for off := int64(0); limit < 0 || off < limit; {
		if ctx.Err() != nil {
			return off, context.Cause(ctx)
		}
		want := b
		if limit >= 0 && limit-off < chunk {
			want = b[:limit-off]
		}
		threads.Disk.Enter()
		n, err := s.file.ReadAt(want, off)
		if n > 0 {
			if ferr := f(want[:n], off); ferr != nil {
				err = ferr
			}
		}
		threads.Disk.Leave()
		off += int64(n)
		if errors.Is(err, io.EOF) {
			if limit >= 0 && off < limit {
				return off, ErrMoved // it shrank
			}
			return off, nil
		}
		if err != nil {
			return off, err
		}
	}
	return limit, nil
}
