package build

import (
	"context"
	"fmt"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/host/images/store"
)

// copies are images that were copied out of the engine, each once however many ask for it: a
// family is rebased from one former parent onto one new one. Safe for concurrent use.
type copies struct {
	store *store.Store

	mu   sync.Mutex
	dir  string // made when it is needed
	each map[string]func() (v1.Image, error)
}

// get returns the image with this ID. It can be read until close.
func (c *copies) get(ctx context.Context, id string) (v1.Image, error) {
	c.mu.Lock()
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "sandbox-rebase-")
		if err != nil {
			c.mu.Unlock()
			return nil, fmt.Errorf("cannot copy %s out of the engine: %w", id, err)
		}
		c.dir, c.each = dir, map[string]func() (v1.Image, error){}
	}
	copied := c.each[id]
	if copied == nil {
		copied = sync.OnceValues(func() (v1.Image, error) { return c.store.Export(ctx, id, c.dir) })
		c.each[id] = copied
	}
	c.mu.Unlock()
	return copied()
}

// close removes them all.
func (c *copies) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.dir
	c.dir, c.each = "", nil
	return os.RemoveAll(dir) // of "" that is nothing
}
