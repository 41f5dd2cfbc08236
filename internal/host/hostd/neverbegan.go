package hostd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// neverBegan has the volumes that were meant for sandboxes which never began, by ID. The engine may still be making the
// container that a killed program asked for, and leaves the volumes when it finds the program gone.
type neverBegan struct {
	mu      sync.Mutex
	volumes map[string][]string
}

func (n *neverBegan) add(r datadir.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.volumes == nil {
		n.volumes = make(map[string][]string)
	}
	n.volumes[r.SandboxID] = r.Volumes
}

// sweep removes the volumes of those. Others may hold what is not saved, and stay even when no sandbox has them.
func (n *neverBegan) sweep(ctx context.Context, e Engine, d datadir.Dir) error {
	n.mu.Lock()
	never := maps.Clone(n.volumes)
	n.mu.Unlock()
	if len(never) == 0 {
		return nil
	}
	names, err := e.Volumes(ctx, contract.LabelDataDir+"="+d.Path())
	for id, volumes := range never {
		if s, serr := d.Sandbox(id); serr != nil || s.Exists() {
			n.mu.Lock()
			delete(n.volumes, id) // one of the same ID has begun
			n.mu.Unlock()
			continue
		}
		for _, v := range volumes {
			if slices.Contains(names, v) {
				err = errors.Join(err, e.RemoveVolume(ctx, v))
			}
		}
	}
	return err
}
