package cache

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Range is a part of a file: bytes from Off up to End, without End.
type Range struct{ Off, End int64 }

// Pinned is content that stays on disk until Release.
type Pinned struct {
	f   *File
	FD  *os.File // nil when N is 0
	Off int64
	N   int // bytes, fewer than asked for at the end of the file
}

// Release lets the content go.
func (p Pinned) Release() { p.f.mu.RUnlock() }

// Pin keeps a range on disk until it has been read. When a part of it is missing, ok is
// false and Range is the first part that has to be filled, in whole blocks.
func (f *File) Pin(off int64, n int) (p Pinned, lack Range, ok bool) {
	f.mu.RLock()
	end := min(off+int64(n), f.size.Load())
	if end <= off {
		return Pinned{f: f, Off: off}, Range{}, true
	}
	if lack, any := f.lack(off, end); any {
		f.mu.RUnlock()
		return Pinned{}, lack, false
	}
	f.touch(off, end-off)
	return Pinned{f: f, FD: f.fd.Load(), Off: off, N: int(end - off)}, Range{}, true
}

// lack finds the first missing part of a range. With mu.
func (f *File) lack(off, end int64) (Range, bool) {
	if f.whole.Load() || off >= f.limit {
		return Range{}, false
	}
	last := blocks(min(end, f.limit))
	for i := off / BlockSize; i < last; i++ {
		if f.have.get(i) {
			continue
		}
		j := i + 1
		for j < last && !f.have.get(j) {
			j++
		}
		return Range{i * BlockSize, min(j*BlockSize, f.limit)}, true
	}
	return Range{}, false
}

// Missing is the first part of a range that has to be filled, in whole blocks.
func (f *File) Missing(off, end int64) (Range, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.lack(off, min(end, f.size.Load()))
}

// Here says that the block at off is here.
func (f *File) Here(off int64) bool {
	_, any := f.Missing(off, off+1)
	return !any
}

// ReadAt reads what is here: ErrMissing for what is not.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	p, _, ok := f.Pin(off, len(b))
	if !ok {
		return 0, ErrMissing
	}
	defer p.Release()
	if p.N == 0 {
		if len(b) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := p.FD.ReadAt(b[:p.N], off)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

// Fill brings one block: data begins at off, a multiple of BlockSize, and is as long as the
// block, or up to the end of the object. A block that is here already stays as it is: it
// may have been written since.
func (f *File) Fill(off int64, data []byte) error {
	n := int64(len(data))
	if err := f.c.reserve(n); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	block := off / BlockSize
	if f.whole.Load() || off >= f.limit || f.have.get(block) {
		f.c.release(n)
		return nil
	}
	if off%BlockSize != 0 || off+n < min(off+BlockSize, f.limit) {
		f.c.release(n)
		return fmt.Errorf("cache: %d bytes at %d are no block", n, off)
	}
	fd, err := f.open()
	if err == nil {
		_, err = f.pwrite(fd, data[:min(n, f.limit-off)], off)
	}
	if err == nil {
		err = f.onDisk.mark(block, f.have[block/64]|1<<(block%64))
	}
	if err != nil {
		f.c.release(n)
		return err
	}
	f.have.set(block)
	f.missing--
	if f.dirty {
		f.account(fd, n)
	} else {
		f.c.mu.Lock()
		f.c.used -= n // book counts it
		f.book(off/chunkSize, n)
		f.c.mu.Unlock()
	}
	if f.missing == 0 {
		return f.nowWhole()
	}
	return nil
}

// nowWhole gives content that is complete the name that says so. With wr, and mu shared:
// nothing else changes names without it exclusive.
func (f *File) nowWhole() error {
	if f.dirty {
		f.dropMap()
	} else if !f.private() {
		if err := rename(f.c.partialName(f.id), f.c.cleanName(f.id)); err != nil {
			return full(err)
		}
	}
	f.whole.Store(true)
	return nil
}

// pwrite writes all of b, freeing clean content when the disk is full. It says exactly how much it wrote,
// which os.File.WriteAt does not when that is not all.
func (f *File) pwrite(fd *os.File, b []byte, off int64) (n int, err error) {
	for squeezed := false; n < len(b); {
		m, err := unix.Pwrite(int(fd.Fd()), b[n:], off+int64(n))
		n += max(m, 0)
		switch {
		case err == nil, err == unix.EINTR:
		case noRoom(err) && !squeezed:
			squeezed = true
			f.c.freeRoom(max(roomFor, int64(len(b))))
		default:
			return n, full(err)
		}
	}
	return n, nil
}
