package objectstore

import "context"

// Check asks the store for one key below prefix, the only part of the bucket that need be
// allowed. Its error says what is wrong and what mends it: ErrNoBucket, ErrWrongRegion,
// ErrAccessDenied, ErrExpiredCredentials, ErrBadCredentials, ErrClockSkew, ErrEndpoint, or
// ErrUnavailable when the time was up before anything answered.
func (s *Store) Check(ctx context.Context, prefix string) error {
	return s.page(ctx, ListOptions{Prefix: prefix, MaxKeys: 1}, "").err
}
