package cache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxCut is how much a truncation may preserve; when it takes more away, the snapshot is given
// up. A reader of the object seldom wants the bytes that a truncation cuts off.
const maxCut = 8 << 20

// Snapshot is the content of a file at one moment, for an upload that writers need not wait
// for: a block that is overwritten is first copied to a side file.
type Snapshot struct {
	f     *File
	size  int64
	side  *os.File // made with the first block
	saved bitmap
	bytes int64 // booked for the side file

	changes *changes // since it was taken
	err     error    // given up
}

// Snapshot begins one; a file has one at a time. needed says which ranges will be read, given the size
// of the content and how it differs from what it is based on; they have to be here, else lack is the first
// part of them that has to be filled.
func (f *File) Snapshot(needed func(size int64, changed []Range, known bool) []Range) (s *Snapshot, lack Range, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	var changed []Range
	if f.changes != nil {
		changed = f.changes.ranges(f.size.Load())
	}
	for _, r := range needed(f.size.Load(), changed, f.changes != nil) {
		if lack, any := f.lack(r.Off, r.End); any {
			return nil, lack, ErrMissing
		}
	}
	if f.snap != nil {
		return nil, Range{}, errors.New("cache: a second snapshot of a file")
	}
	if _, err := f.open(); err != nil {
		return nil, Range{}, err
	}
	size := f.size.Load()
	f.snap = &Snapshot{f: f, size: size, changes: noChanges(size)}
	return f.snap, Range{}, nil
}

// Stored says that S3 has what the snapshot has: from now on the file's content is based on that. What has
// changed since is not known when the snapshot was given up after it had been read.
func (s *Snapshot) Stored() {
	s.f.wr.Lock()
	defer s.f.wr.Unlock()
	s.f.changes = nil
	if s.err == nil {
		s.f.changes = s.changes
	}
}

// Holes is how much of a range the disk has as holes, in bytes (lseek(2), SEEK_DATA). It stops counting at more
// than most. A file system that does not tell has none.
func (s *Snapshot) Holes(r Range, most int64) (n int64) {
	fd := int(s.f.fd.Load().Fd())
	for at := r.Off; at < r.End && n <= most; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data = r.End // there is no more
		} else if err != nil {
			return 0
		}
		n += min(data, r.End) - at
		if data >= r.End {
			break
		}
		if at, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil {
			return 0
		}
	}
	return n
}

// Size is how long the content is.
func (s *Snapshot) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt. ErrSnapshot when it had to be given up.
func (s *Snapshot) ReadAt(b []byte, off int64) (n int, err error) {
	f := s.f
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	for n < len(b) && off < s.size {
		part := min(s.size, (off/BlockSize+1)*BlockSize) - off
		if rest := int64(len(b) - n); part > rest {
			part = rest
		}
		from := f.fd.Load()
		if s.saved != nil && s.saved.get(off/BlockSize) {
			from = s.side
		} else if s.saved == nil { // nothing was overwritten: no need to go block by block
			part = min(s.size-off, int64(len(b)-n))
		}
		m, err := from.ReadAt(b[n:n+int(part)], off)
		n += m
		off += int64(m)
		if int64(m) < part {
			return n, fmt.Errorf("cannot read cached content at %d: %w", off, err)
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close ends the snapshot.
func (s *Snapshot) Close() {
	s.f.wr.Lock()
	defer s.f.wr.Unlock()
	s.give(errors.New("cache: the snapshot is closed"))
}

// give ends the snapshot with the error that its reader gets. With File.wr.
func (s *Snapshot) give(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.f.snap == s {
		s.f.snap = nil
	}
	if s.side != nil {
		s.side.Close()
		s.f.c.mu.Lock()
		s.f.c.used -= s.bytes
		s.f.c.notify()
		s.f.c.mu.Unlock()
	}
}

// preserve saves what a change of a range takes from the snapshot, if there is one. It never
// fails the change: the snapshot is given up instead. With wr.
func (f *File) preserve(off, end int64) {
	s := f.snap
	if s == nil || off >= s.size {
		return
	}
	end = min(end, s.size)
	if end-off > maxCut {
		s.give(ErrSnapshot)
		return
	}
	var buf []byte
	for i := off / BlockSize; i < blocks(end); i++ {
		if s.saved != nil && s.saved.get(i) {
			continue
		}
		if buf == nil {
			buf = make([]byte, BlockSize)
		}
		if err := s.save(i, buf); err != nil {
			s.give(fmt.Errorf("%w (%w)", ErrSnapshot, err))
			return
		}
	}
}

func (s *Snapshot) save(i int64, buf []byte) error {
	if f := s.f; !f.whole.Load() && (i+1)*BlockSize <= f.limit && !f.have.get(i) {
		return nil // it was not here when the snapshot was taken, so nothing reads it
	}
	if s.side == nil {
		fd, err := os.OpenFile(filepath.Join(s.f.c.dir, "tmp", randomName()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		os.Remove(fd.Name())
		s.side, s.saved = fd, newBitmap(blocks(s.size))
	}
	if err := s.f.c.reserve(BlockSize); err != nil {
		return err
	}
	s.bytes += BlockSize
	n := min(BlockSize, s.size-i*BlockSize)
	if _, err := s.f.fd.Load().ReadAt(buf[:n], i*BlockSize); err != nil {
		return err
	}
	if _, err := s.side.WriteAt(buf[:n], i*BlockSize); err != nil {
		return err
	}
	s.saved.set(i)
	return nil
}
