package upload

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// removeBoth deletes both objects of a name that has two. The twin goes first: were the file's gone and the
// twin not, the next hydrate would take the twin for the file. A twin that another client has
// written since it was seen stays, and becomes the file.
func (s *Sender) removeBoth(ctx context.Context, name string, twin journal.Twin, h held) Result {
	theirs, found, err := s.removeTwin(ctx, twin)
	if err != nil {
		return remote(ctx, err)
	}
	if !found {
		s.Remember(s.Journal.Twins().Drop(name))
		return s.removeKnown(ctx, h)
	}
	if r := s.removeKnown(ctx, h); r.Outcome != queue.Stored {
		return r
	}
	r := s.restore(ctx, h.path, twin.Key, theirs)
	if r.Outcome == queue.Stored {
		s.Remember(s.Journal.Twins().Drop(name))
	}
	return r
}

// removeTwin deletes a twin as hydrate has seen it, or returns what another client has put in its place.
func (s *Sender) removeTwin(ctx context.Context, twin journal.Twin) (theirs objectstore.Object, found bool, err error) {
	err = objectstore.ErrPrecondition
	if twin.ETag != "" {
		err = s.delete(ctx, journal.Entry{Key: twin.Key, ETag: twin.ETag})
	}
	if !errors.Is(err, objectstore.ErrPrecondition) {
		return theirs, false, err
	}
	theirs, err = s.Store.Head(ctx, s.Prefix+twin.Key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return theirs, false, nil
	}
	return theirs, err == nil, err
}
