package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// abandonTime bounds the abort of an upload whose Put has failed, and perhaps because its context ended.
const abandonTime = 5 * time.Second

// abandon aborts the upload until the store knows it no more: of a part that was in
// flight the store may hear later ("AbortMultipartUpload").
func (u *upload) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	pause := newPause(deadline)
	for {
		err := u.store.Abort(ctx, u.key, u.id)
		final := err != nil && !errors.Is(err, ErrUnavailable)
		if err == nil {
			err = u.recall(ctx)
			if err != nil && !errors.Is(err, ErrUnavailable) {
				return // errNoUpload; or we may not ask
			}
		}
		if final || !pause.wait(ctx, false, 0) {
			u.store.log.Warn("an upload could not be given up; its parts stay in the bucket until a lifecycle rule removes them",
				"event", "s3_abort_failed", "key", u.key, "error", fmt.Sprint(err))
			return
		}
	}
}

// Abort gives up a multipart upload that will not be continued. One that is gone is given up.
func (s *Store) Abort(ctx context.Context, key, uploadID string) error {
	_, err := s.do(ctx, &request{verb: verbAbort, method: http.MethodDelete, key: key, query: "uploadId=" + protocol.EscapeQuery(uploadID)})
	if errors.Is(err, errNoUpload) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
