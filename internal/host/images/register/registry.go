package register

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/matrx/sandbox/contract"
)

// FromRegistry reads an image of this machine's platform from its registry, with the
// credentials that `docker login` left. Only the layers above the manifest are fetched, and
// the one that it is in, each read to its end: that is what proves its digest.
func FromRegistry(ctx context.Context, ref string) (*Image, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("cannot name an image %q: %w", ref, err)
	}
	im, err := remote.Image(parsed, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, fmt.Errorf("cannot get %s from its registry: %w", ref, err)
	}
	id, err := im.ConfigName()
	if err != nil {
		return nil, err
	}
	config, err := im.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := im.Layers()
	if err != nil {
		return nil, err
	}
	manifest, err := fileOf(layers, contract.Capabilities)
	if err != nil {
		return nil, err
	}
	return &Image{Digest: id.String(), Source: "registry", Labels: config.Config.Labels, Manifest: manifest}, nil
}

// fileOf looks for a file in layers, the uppermost first.
func fileOf(layers []v1.Layer, file string) ([]byte, error) {
	for _, layer := range slices.Backward(layers) {
		r, err := layer.Uncompressed()
		if err != nil {
			return nil, fmt.Errorf("cannot read a layer: %w", err)
		}
		content, state, err := look(r, file)
		r.Close()
		switch {
		case err != nil:
			return nil, err
		case state == here:
			return content, nil
		case state == removed:
			return nil, errNoManifest
		}
	}
	return nil, errNoManifest
}

type state int

const (
	elsewhere state = iota
	here
	removed // by a whiteout, so that layers below do not count (OCI Image Layer Filesystem Changeset)
)

// look reads a layer to its end.
func look(r io.Reader, file string) (content []byte, found state, err error) {
	defer func() {
		// What follows the tar's end belongs to the digest as well.
		if _, rest := io.Copy(io.Discard, r); err == nil && rest != nil {
			err = fmt.Errorf("cannot read a layer: %w", rest)
		}
	}()
	hidden := hides(file)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return content, found, nil
		}
		if err != nil {
			return nil, found, fmt.Errorf("cannot read a layer: %w", err)
		}
		at := path.Join("/", h.Name)
		switch {
		case at == file && h.Typeflag == tar.TypeReg && h.Size <= mostManifest:
			if content, err = io.ReadAll(tr); err != nil {
				return nil, found, fmt.Errorf("cannot read a layer: %w", err)
			}
			found = here
		case at == file && h.Typeflag == tar.TypeReg:
			return nil, found, fmt.Errorf("%s has %d bytes, and %d are allowed", file, h.Size, int64(mostManifest))
		case at == file || h.Typeflag != tar.TypeDir && strings.HasPrefix(file, at+"/"):
			return nil, found, fmt.Errorf("%s is no regular file in regular directories, and what it links to cannot be told without all layers: pull the image, and register it from the engine", file)
		case found == elsewhere && slices.Contains(hidden, at):
			found = removed
		}
	}
}

// hides are the whiteouts that hide a file of the layers below.
func hides(file string) []string {
	var out []string
	for at := file; at != "/"; at = path.Dir(at) {
		dir := path.Dir(at)
		out = append(out, path.Join(dir, ".wh."+path.Base(at)), path.Join(dir, ".wh..wh..opq"))
	}
	return out
}
