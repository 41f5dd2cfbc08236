package upload

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// Stray removes what a write of ours left that arrived after its file was deleted. It does
// nothing when something is at the path here, or when the object is another client's.
func (s *Sender) Stray(ctx context.Context, path string, in journal.Intent) error {
	isDir := in.Key[len(in.Key)-1] == '/'
	if _, gone := s.isGone(path, isDir); !gone || s.Rules().Match(path, isDir) {
		return nil
	}
	o, err := s.Store.Head(ctx, s.Prefix+in.Key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if ours, _ := in.Wrote(o.Metadata[posixattr.WriteIDKey]); !ours {
		return nil
	}
	s.Log.Info("a write arrived after its file was deleted; it is removed", "event", "stray_removed", "path", path)
	err = s.delete(ctx, journal.Entry{Path: path, Key: in.Key, ETag: o.ETag})
	if errors.Is(err, objectstore.ErrPrecondition) {
		return nil // another client wrote it anew
	}
	return err
}
