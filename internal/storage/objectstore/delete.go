package objectstore

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

func quoted(s string) string { return strconv.Quote(s) }

// Delete removes an object. One that is not there is removed: that is no error under any
// condition. IfMatch: only that version, else ErrPrecondition. IfNoneMatch says
// nothing for a deletion.
func (s *Store) Delete(ctx context.Context, key string, c Condition) error {
	c.IfNoneMatch = false
	_, err := s.insist(ctx, key, c, func(c Condition) (Object, error) { return Object{}, s.deleteOnce(ctx, key, c) })
	return err
}

func (s *Store) deleteOnce(ctx context.Context, key string, c Condition) error {
	r := &request{verb: verbDelete, method: http.MethodDelete, key: key}
	if c.IfMatch != "" && !s.conditional.Load().Delete {
		o, err := s.Head(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return err
		case o.ETag != c.IfMatch:
			e := s.fail(r, ErrPrecondition, nil)
			e.Status = http.StatusPreconditionFailed
			return e
		}
		c = Condition{}
	}
	s.setCondition(r, c)
	_, err := s.do(ctx, r)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
