package sqlite

import (
	"context"
	"errors"
	"os"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// Image is a database as one file that is put together while it is read: for a disk that has no room for a
// copy.
type Image struct {
	*sqlitefile.Image
	files [2]*os.File // the journal, the log
}

// Image puts the database together from its files, which are the Image's from now on. The database's
// own file is the caller's still.
func (s *Snapshot) Image(ctx context.Context) (*Image, error) {
	p := sqlitefile.Parts{DB: s.db, Size: s.Stats.DB.Size, Back: s.back}
	if s.frames > 0 {
		p.Log, p.LogFile, p.Frames = s.log, s.reads(s.wal), s.frames
	}
	i, err := sqlitefile.NewImage(ctx, p)
	if err != nil {
		return nil, err
	}
	i.ReadFrom(s.journal, s.wal)
	image := &Image{i, [2]*os.File{s.journal, s.wal}}
	s.journal, s.wal = nil, nil
	return image, nil
}

// Close lets the log and the journal go.
func (i *Image) Close() (err error) {
	for _, f := range i.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
