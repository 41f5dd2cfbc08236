package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
)

// A store may take a backslash in a key for a slash, as SeaweedFS does unless it is told otherwise: the file "a\b" would
// be stored under the name of the file "a/b", and read, replaced and deleted in its place. Before
// the first request for such a key the store is tried with one of its own, and one that does so is asked
// for none of them.

// backslashes is what is known of that.
type backslashes struct {
	trial  chan struct{}          // holds a value while the store is being tried
	prefix atomic.Pointer[string] // of keys to try it with; nil: Probe was not called, and it is trusted
	found  agreement              // agree: it keeps them; disagree: it makes slashes of them
}

// trialKey marks the context of the requests of a trial.
type trialKey struct{}

// do sends a request for a key that the store keeps as it is.
func (s *Store) do(ctx context.Context, r *request) (*response, error) {
	if err := s.admit(ctx, r); err != nil {
		return nil, err
	}
	return s.sender.do(ctx, r)
}

// admit refuses a request for a key that the store would take for another one.
func (s *Store) admit(ctx context.Context, r *request) error {
	prefix := s.backslashes.prefix.Load()
	if strings.IndexByte(r.key, '\\') < 0 || prefix == nil || ctx.Value(trialKey{}) != nil {
		return nil
	}
	select {
	case s.backslashes.trial <- struct{}{}:
	case <-ctx.Done():
		return s.interrupted(ctx, r, nil)
	}
	defer func() { <-s.backslashes.trial }()
	if s.backslashes.found.v.Load() == 0 {
		if err := s.tryBackslash(context.WithValue(ctx, trialKey{}, true), *prefix+rand.Text()); err != nil {
			return err
		}
	}
	if s.backslashes.found.v.Load() == disagree {
		e := s.fail(r, ErrInvalid, errors.New("the store takes a backslash in a key for a slash"))
		e.Hint = "rename it, or have the store keep backslashes (SeaweedFS: -s3.allowBackslashInKey=true)"
		return e
	}
	return nil
}

// tryBackslash writes under key+`\x` and looks whether that is at key+"/x".
func (s *Store) tryBackslash(ctx context.Context, key string) error {
	o, err := s.Put(ctx, key+`\x`, bytes.NewReader(probeBody), int64(len(probeBody)), PutOptions{})
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case err != nil: // the request itself will be refused in the same way
		return nil
	}
	defer func() {
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
		defer cancel()
		_ = s.Delete(patient, o.Key, Condition{}) // else the sweep of the next start removes it
	}()
	switch _, err := s.Head(ctx, key+"/x"); {
	case err == nil:
		s.log.Warn("the store takes a backslash in a key for a slash: files whose names have one are not stored", "event", "s3_backslash")
		s.backslashes.found.v.Store(disagree)
	case errors.Is(err, ErrNotFound):
		s.backslashes.found.v.Store(agree)
	default:
		return err
	}
	return nil
}
