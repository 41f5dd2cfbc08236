package sqlitefile

import (
	"context"
	"errors"
	"io"
	"slices"
)

// Parts are the files of a database at one instant.
type Parts struct {
	DB   io.ReaderAt
	Size int64 // of DB

	Back *Rollback // nil: there is nothing to roll back

	Log     Log
	LogFile io.ReaderAt
	Frames  uint32 // of LogFile, of whole transactions; 0: the log has nothing that counts
}

// Image is a database as one file that is put together while it is read. It takes a few bytes of memory for
// each page that is not read from the database's file. It is right for as long as its parts stay as they are.
type Image struct {
	db       io.ReaderAt
	from     [2]io.ReaderAt // the journal, the log
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

// NewImage puts a database together: its file with the log applied, or with the journal rolled back.
func NewImage(ctx context.Context, p Parts) (*Image, error) {
	i := &Image{db: p.DB, pageSize: 512, size: p.Size}
	if p.Back != nil {
		err := p.Back.Pages(ctx, func(page uint32, at int64, _ []byte) error {
			i.patches = append(i.patches, patch{page: page, at: at})
			return nil
		})
		if err != nil {
			return nil, err
		}
		i.from[0] = p.Back.r
		i.pageSize, i.size = p.Back.PageSize, p.Back.Before()
	}
	if p.Frames > 0 {
		if p.Back != nil && i.pageSize != int64(p.Log.PageSize) {
			return nil, errors.New("the journal's pages are of another size than the log's")
		}
		size, err := p.Log.Pages(ctx, p.LogFile, p.Frames, func(page uint32, at int64, _ []byte) error {
			i.patches = append(i.patches, patch{page: page, from: 1, at: at})
			return nil
		})
		if err != nil {
			return nil, err
		}
		i.from[1] = p.LogFile
		i.pageSize, i.size = int64(p.Log.PageSize), size
	}
	i.settle()
	return i, nil
}

// ReadFrom has the image read its parts, other than the database, by other means than NewImage did.
func (i *Image) ReadFrom(journal, log io.ReaderAt) { i.from = [2]io.ReaderAt{journal, log} }

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

// Patched hands over the ranges of the image that are not read from the database's file, in their order.
func (i *Image) Patched(yield func(off, end int64)) {
	off, end := int64(0), int64(0)
	for _, p := range i.patches {
		at := int64(p.page-1) * i.pageSize
		if at != end && end > off {
			yield(off, end)
		}
		if at != end {
			off = at
		}
		end = at + i.pageSize
	}
	if end > off {
		yield(off, end)
	}
}
