package sqlite

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
)

// Image is a database as one file that is put together while it is read: for a disk that has no
// room for a copy. It takes a few bytes of memory for each page that is not read from the
// database's file. It is right for as long as nothing writes to the database's files.
type Image struct {
	db       *os.File
	from     [2]*os.File // the log or the journal
	pageSize int64
	size     int64
	patches  []patch // by page
}

// patch is a page that is not read from the database's file.
type patch struct {
	page uint32
	from uint8 // of Image.from
	at   int64
}

// Image puts the database together from its files, which are the Image's from now on. The database's
// own file is the caller's still.
func (s *Snapshot) Image(ctx context.Context) (*Image, error) {
	i := &Image{db: s.db, pageSize: 512, size: s.Stats.DB.Size}
	if s.back != nil {
		err := s.back.pages(ctx, func(page uint32, at int64, _ []byte) error {
			i.patches = append(i.patches, patch{page: page, at: at})
			return nil
		})
		if err != nil {
			return nil, err
		}
		i.pageSize, i.size = s.back.pageSize, s.back.before()
	}
	if s.frames > 0 {
		if s.back != nil && i.pageSize != int64(s.log.pageSize) {
			return nil, errors.New("the journal's pages are of another size than the log's")
		}
		size, err := s.log.pages(ctx, s.reads(s.wal), s.frames, func(page uint32, at int64, _ []byte) error {
			i.patches = append(i.patches, patch{page: page, from: 1, at: at})
			return nil
		})
		if err != nil {
			return nil, err
		}
		i.pageSize, i.size = int64(s.log.pageSize), size
	}
	i.settle()
	i.from = [2]*os.File{s.journal, s.wal}
	s.journal, s.wal = nil, nil
	return i, nil
}

// settle leaves the last patch of each page.
func (i *Image) settle() {
	slices.SortStableFunc(i.patches, func(a, b patch) int { return int(int64(a.page) - int64(b.page)) })
	kept := i.patches[:0]
	for n, p := range i.patches {
		if n+1 == len(i.patches) || i.patches[n+1].page != p.page {
			kept = append(kept, p)
		}
	}
	i.patches = slices.Clip(kept)
}

// Size is the database's.
func (i *Image) Size() int64 { return i.size }

// ReadAt reads the database.
func (i *Image) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && off < i.size {
		within := off % i.pageSize
		piece := b[n:min(len(b), n+int(i.pageSize-within))]
		piece = piece[:min(int64(len(piece)), i.size-off)]
		if err := i.readPage(piece, off, within); err != nil {
			return n, err
		}
		n, off = n+len(piece), off+int64(len(piece))
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// readPage reads a piece of one page. What no file has is zeros, as in a hole.
func (i *Image) readPage(b []byte, off, within int64) error {
	page := uint32(off/i.pageSize) + 1
	r, at := i.db, off
	if n, ok := slices.BinarySearchFunc(i.patches, page, func(p patch, page uint32) int { return int(int64(p.page) - int64(page)) }); ok {
		r, at = i.from[i.patches[n].from], i.patches[n].at+within
	}
	n, err := r.ReadAt(b, at)
	if err == io.EOF {
		clear(b[n:])
		return nil
	}
	return err
}

// Close lets the log and the journal go.
func (i *Image) Close() (err error) {
	for _, f := range i.from {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
