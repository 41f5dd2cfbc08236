package cold

import (
	"context"
	"errors"
	"io"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// readPast reads past the cache, which has no room: what is here comes from the cache's file, the rest from S3.
func (c *content) readPast(ctx context.Context, off int64, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.in.patience)
	defer cancel()
	b := make([]byte, max(0, min(int64(n), c.file.Size()-off)))
	for got := 0; got < len(b); {
		m, err := c.readPiece(ctx, b[got:], off+int64(got))
		if got += m; errors.Is(err, io.EOF) {
			return b[:got], nil // it was made shorter meanwhile
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// readPiece reads the beginning of a range: all that is here of it, or all that is missing.
func (c *content) readPiece(ctx context.Context, b []byte, off int64) (int, error) {
	p, lack, ok := c.file.Pin(off, len(b))
	if !ok && lack.Off > off {
		p, lack, ok = c.file.Pin(off, int(lack.Off-off))
	}
	switch {
	case !ok && lack.Off > off:
		return 0, nil // a part of it has just been evicted
	case !ok:
		return c.getPiece(ctx, b[:min(int64(len(b)), lack.End-off)], off)
	}
	defer p.Release()
	if p.N == 0 {
		return 0, io.EOF
	}
	return p.FD.ReadAt(b[:p.N], off)
}

// getPiece reads what is missing from the version that has it. When an upload has replaced that version, the new one
// has it as well.
func (c *content) getPiece(ctx context.Context, b []byte, off int64) (int, error) {
	c.mu.Lock()
	key, etag := c.key, c.etag
	c.mu.Unlock()
	rd, err := c.in.store.Get(ctx, key, objectstore.GetOptions{IfMatch: etag, Offset: off, Length: int64(len(b))})
	if err != nil {
		c.mu.Lock()
		moved := c.key != key || c.etag != etag
		c.mu.Unlock()
		if moved && (errors.Is(err, objectstore.ErrPrecondition) || errors.Is(err, objectstore.ErrNotFound)) {
			return 0, nil
		}
		return 0, err
	}
	defer rd.Close()
	n, err := io.ReadFull(rd, b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
