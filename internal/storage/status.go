package storage

import (
	"context"
	"fmt"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/control"
)

var _ control.Backend = (*session)(nil)

// Status implements control.Backend.
func (s *session) Status() contract.StorageStatus {
	return contract.StorageStatus{
		Hot:   s.hot.Status(),
		Cold:  s.cold.Status(),
		Lease: s.deferred.Status(),
		Store: contract.StoreStatus{
			Bucket: s.cfg.S3.Bucket, Prefix: s.cfg.UserPrefix(), Endpoint: s.cfg.S3.Endpoint,
			Conditional: s.store.Conditional().Verbs(),
		},
		Requests: s.store.Requests(),
	}
}

// Checkpoint implements control.Backend.
func (s *session) Checkpoint(ctx context.Context) (contract.Checkpoint, error) {
	if !s.open.Load() {
		return contract.Checkpoint{}, fmt.Errorf("%w: the sandbox is starting or stopping", control.ErrNotReady)
	}
	return s.hot.Checkpoint(ctx)
}
