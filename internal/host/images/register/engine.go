package register

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/imagestore"
)

// FromEngine reads an image that the engine has: imagestore.ErrNoImage, ErrNoManifest.
func FromEngine(ctx context.Context, store *imagestore.Store, ref string) (*Image, error) {
	im, err := store.Inspect(ctx, ref)
	if err != nil {
		return nil, err
	}
	// By its ID: the name may be given to another image meanwhile.
	manifest, err := store.ReadFile(ctx, im.ID, contract.Capabilities, mostManifest)
	if errors.Is(err, imagestore.ErrNoFile) {
		return nil, ErrNoManifest
	}
	if err != nil {
		return nil, err
	}
	return &Image{Digest: im.ID, Source: "engine", SizeMB: max(1, int(im.Size/1e6)), Labels: im.Labels, Manifest: manifest}, nil
}
