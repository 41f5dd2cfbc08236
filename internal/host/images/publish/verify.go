package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/matrx/sandbox/internal/host/images/sbom"
)

// Verified is what was found whole.
type Verified struct {
	Reference string        `json:"reference"`
	Digest    string        `json:"digest"`
	Platforms []VerifiedOne `json:"platforms"`
}

// VerifiedOne is the image of one platform.
type VerifiedOne struct {
	Platform string         `json:"platform"`
	Digest   string         `json:"digest"`
	SBOM     string         `json:"sbom"`
	Packages map[string]int `json:"packages"` // that the list names, by kind
}

// Verify reads all of a published image: every blob is what its digest says, the
// annotations are the labels', each platform is the one that the index says, and the list
// of contents that is attached is the one that the layers give.
func Verify(ctx context.Context, reference, image string) (Verified, error) {
	out := Verified{Reference: reference}
	ref, err := name.ParseReference(reference)
	if err != nil {
		return out, fmt.Errorf("cannot verify %s: %w", reference, err)
	}
	d, err := remote.Get(ref, options(ctx)...)
	if err != nil {
		return out, refused(ref.Context().Name(), err)
	}
	out.Digest = d.Digest.String()
	var images []v1.Descriptor
	switch d.MediaType {
	case types.OCIImageIndex, types.DockerManifestList:
		index, err := d.ImageIndex()
		if err != nil {
			return out, err
		}
		m, err := index.IndexManifest()
		if err != nil {
			return out, err
		}
		images = m.Manifests
	default:
		images = []v1.Descriptor{d.Descriptor}
	}
	if len(images) == 0 {
		return out, fmt.Errorf("%s is an index of nothing", reference)
	}
	var errs []error
	for _, i := range images {
		one, err := verifyOne(ctx, ref.Context(), i, image)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s, %s: %w", reference, i.Digest, err))
		}
		out.Platforms = append(out.Platforms, one)
	}
	return out, errors.Join(errs...)
}

func verifyOne(ctx context.Context, repository name.Repository, d v1.Descriptor, image string) (VerifiedOne, error) {
	out := VerifiedOne{Digest: d.Digest.String(), Platform: platform(d)}
	img, err := remote.Image(repository.Digest(out.Digest), options(ctx)...)
	if err != nil {
		return out, refused(repository.Name(), err)
	}
	if err := validate.Image(img); err != nil {
		return out, fmt.Errorf("it is not what its digest says: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return out, err
	}
	is := config.OS + "/" + config.Architecture
	if out.Platform != "" && out.Platform != is {
		return out, fmt.Errorf("the index says %s, the image is %s", out.Platform, is)
	}
	out.Platform = is
	m, err := img.Manifest()
	if err != nil {
		return out, err
	}
	if got := config.Config.Labels["dev.matrx.sandbox.name"]; got != image {
		return out, fmt.Errorf("its label dev.matrx.sandbox.name is %q, want %q", got, image)
	}
	for k, v := range annotate(config, nil) {
		if m.Annotations[k] != v {
			return out, fmt.Errorf("its annotation %s is %q, its label %q", k, m.Annotations[k], v)
		}
	}
	attached, digest, err := attachment(ctx, repository, d.Digest)
	if err != nil {
		return out, err
	}
	out.SBOM = digest
	want, err := sbom.Document(img, path.Base(repository.RepositoryStr()), config.Config.Labels["org.opencontainers.image.version"])
	if err != nil {
		return out, err
	}
	if !bytes.Equal(attached, want) {
		return out, fmt.Errorf("the list of contents %s is not the one that the layers give", digest)
	}
	out.Packages, err = sbom.Count(attached)
	return out, err
}

// attachment fetches the list of contents that refers to an image.
func attachment(ctx context.Context, repository name.Repository, subject v1.Hash) ([]byte, string, error) {
	index, err := remote.Referrers(repository.Digest(subject.String()), append(options(ctx), remote.WithFilter("artifactType", sbom.MediaType))...)
	if err != nil {
		return nil, "", refused(repository.Name(), err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, "", err
	}
	for _, d := range m.Manifests {
		if d.ArtifactType != sbom.MediaType {
			continue
		}
		img, err := remote.Image(repository.Digest(d.Digest.String()), options(ctx)...)
		if err != nil {
			return nil, "", refused(repository.Name(), err)
		}
		layers, err := img.Layers()
		if err != nil {
			return nil, "", err
		}
		if len(layers) != 1 {
			return nil, "", fmt.Errorf("the list of contents %s has %d parts", d.Digest, len(layers))
		}
		r, err := layers[0].Compressed()
		if err != nil {
			return nil, "", refused(repository.Name(), err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		return data, d.Digest.String(), err
	}
	return nil, "", errors.New("no list of its contents (SPDX) refers to it")
}

// Fetch finds the image of a platform, to be taken into an engine; its layers are checked
// as they are read. inputs is the digest that it was published with.
func Fetch(ctx context.Context, reference, arch string) (img v1.Image, from string, err error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, "", fmt.Errorf("cannot pull %s: %w", reference, err)
	}
	img, err = remote.Image(ref, append(options(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))...)
	if err != nil {
		return nil, "", refused(ref.Context().Name(), err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, "", refused(ref.Context().Name(), err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, "", refused(ref.Context().Name(), err)
	}
	if config.Architecture != arch {
		return nil, "", fmt.Errorf("cannot pull %s: it is for linux/%s, not for linux/%s", reference, config.Architecture, arch)
	}
	return img, m.Annotations[inputs], nil
}
