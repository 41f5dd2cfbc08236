package register

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// FromEngine reads an image that the engine has: store.ErrNoImage, errNoManifest.
func FromEngine(ctx context.Context, images *store.Store, ref string) (*Image, error) {
	im, err := images.Inspect(ctx, ref)
	if err != nil {
		return nil, err
	}
	// By its ID: the name may be given to another image meanwhile.
	manifest, err := images.ReadFile(ctx, im.ID, contract.Capabilities, mostManifest)
	if errors.Is(err, store.ErrNoFile) {
		return nil, errNoManifest
	}
	if err != nil {
		return nil, err
	}
	return &Image{Digest: im.ID, Source: "engine", SizeMB: max(1, int(im.Size/1e6)), Labels: im.Labels, Manifest: manifest}, nil
}
