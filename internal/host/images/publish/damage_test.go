package publish

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

func nothing() v1.ImageIndex { return empty.Index }

// damaged is a registry's disk that gives back something else for one blob.
type damaged struct {
	registry.BlobHandler
	mu  sync.Mutex
	bad v1.Hash
}

func (d *damaged) damage(h v1.Hash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = h
}

func (d *damaged) Get(ctx context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	r, err := d.BlobHandler.Get(ctx, repo, h)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || h != d.bad {
		return r, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if len(data) > 0 {
		data[len(data)/2] ^= 0xff
	}
	return io.NopCloser(bytes.NewReader(data)), err
}

// Put is that of the memory below, which the interface does not promise.
func (d *damaged) Put(ctx context.Context, repo string, h v1.Hash, r io.ReadCloser) error {
	return d.BlobHandler.(registry.BlobPutHandler).Put(ctx, repo, h, r)
}
