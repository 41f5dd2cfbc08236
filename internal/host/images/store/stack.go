package store

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Take makes an image of a configuration and the layers that it names, and calls it refs.
// The layers go to the engine as they are, not compressed: an engine on this machine would
// only undo that.
func (s *Store) Take(ctx context.Context, config []byte, layers []v1.Layer, refs ...string) error {
	return s.Load(ctx, func(w io.Writer) error { return writeArchive(ctx, w, config, layers, refs) })
}

// writeArchive writes what `docker load` reads (Docker Image Specification v1.2, "Combined
// Image JSON + Filesystem Changeset Format").
func writeArchive(ctx context.Context, w io.Writer, config []byte, layers []v1.Layer, refs []string) error {
	tw := tar.NewWriter(w)
	file := func(name string, size int64, r io.Reader) error {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.Copy(tw, r)
		return err
	}
	sum := sha256.Sum256(config)
	entry := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{Config: hex.EncodeToString(sum[:]) + ".json", RepoTags: refs}
	written := map[string]bool{}
	for _, l := range layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, err := l.DiffID()
		if err != nil {
			return err
		}
		name := id.Hex + "/layer.tar"
		entry.Layers = append(entry.Layers, name)
		if written[name] {
			continue
		}
		written[name] = true
		size, err := unpackedSize(l)
		if err != nil {
			return err
		}
		r, err := l.Uncompressed()
		if err != nil {
			return fmt.Errorf("cannot read a layer: %w", err)
		}
		err = file(name, size, r)
		r.Close()
		if err != nil {
			return fmt.Errorf("cannot pass on a layer: %w", err)
		}
	}
	if err := file(entry.Config, int64(len(config)), bytes.NewReader(config)); err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{entry})
	if err != nil {
		return err
	}
	if err := file("manifest.json", int64(len(manifest)), bytes.NewReader(manifest)); err != nil {
		return err
	}
	return tw.Close()
}

// unpackedSize reads a layer to its end: a tar archive says the size of a file before it.
func unpackedSize(l v1.Layer) (int64, error) {
	r, err := l.Uncompressed()
	if err != nil {
		return 0, fmt.Errorf("cannot read a layer: %w", err)
	}
	defer r.Close()
	return io.Copy(io.Discard, r)
}
