package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Export copies an image out of the engine into a file of dir, from which its layers can be
// read in any order and more than once.
func (s *Store) Export(ctx context.Context, ref, dir string) (v1.Image, error) {
	im, err := s.Inspect(ctx, ref)
	if err != nil {
		return nil, err
	}
	r, err := s.Save(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// "sha256:" is no part of a name on every file system.
	file := filepath.Join(dir, filepath.Base(im.ID[len("sha256:"):])+".tar")
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("cannot copy %s out of the engine: %w", ref, err)
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot copy %s out of the engine: %w", ref, err)
	}
	out, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read what the engine says %s is: %w", ref, err)
	}
	return out, nil
}
