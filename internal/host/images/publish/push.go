package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/matrx/sandbox/internal/host/images/sbom"
)

// Request says what is published, and as what.
type Request struct {
	Repository string   // registry, path and name, without a tag
	Versions   []string // tags: latest, 1.2.3
	Inputs     string   // the digest of the image's inputs
	Revision   string   // the commit; images of two platforms with different ones are not joined
	Parent     string   // the parent's repository; "" for the root of the family
}

// Pushed says what was published.
type Pushed struct {
	Repository string   `json:"repository"`
	Platform   string   `json:"platform"`
	Digest     string   `json:"digest"` // of the platform's image
	Versions   []string `json:"versions"`
	Index      string   `json:"index"`     // the digest of the index that the versions are
	Platforms  []string `json:"platforms"` // that are in it
	SBOM       string   `json:"sbom"`      // the digest of the artifact
}

func options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithJobs(4)}
}

// Push publishes an image of one platform.
func Push(ctx context.Context, img v1.Image, r Request) (Pushed, error) {
	out := Pushed{Repository: r.Repository, Versions: r.Versions}
	repository, err := name.NewRepository(r.Repository)
	if err != nil {
		return out, fmt.Errorf("cannot publish as %s: %w", r.Repository, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return out, fmt.Errorf("cannot publish %s: %w", r.Repository, err)
	}
	out.Platform = config.OS + "/" + config.Architecture
	dir, err := os.MkdirTemp("", "sandbox-push-")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)

	more := map[string]string{inputs: r.Inputs, revision: r.Revision}
	if err := nameBase(ctx, r, config, more); err != nil {
		return out, err
	}
	whole, err := prepare(img, annotate(config, more), dir)
	if err != nil {
		return out, fmt.Errorf("cannot publish %s: %w", r.Repository, err)
	}
	document, err := sbom.Document(whole, path.Base(r.Repository), config.Config.Labels["org.opencontainers.image.version"])
	if err != nil {
		return out, fmt.Errorf("cannot list what is in %s: %w", r.Repository, err)
	}
	digest, err := whole.Digest()
	if err != nil {
		return out, err
	}
	out.Digest = digest.String()

	// The list first: a reader that finds the image finds its list. A registry takes what refers to an
	// image before the image (OCI Distribution Specification, "Pushing Manifests with Subject").
	subject, err := partial.Descriptor(whole)
	if err != nil {
		return out, err
	}
	list, err := artifact(document, sbom.MediaType, path.Base(r.Repository)+".spdx.json", *subject)
	if err != nil {
		return out, err
	}
	listDigest, err := list.Digest()
	if err != nil {
		return out, err
	}
	out.SBOM = listDigest.String()
	if err := remote.Write(repository.Digest(out.Digest), whole, options(ctx)...); err != nil {
		return out, refused(r.Repository, err)
	}
	if err := remote.Write(repository.Digest(out.SBOM), list, options(ctx)...); err != nil {
		return out, refused(r.Repository, err)
	}
	for _, version := range r.Versions {
		if err := remote.Tag(repository.Tag(version+"-"+config.Architecture), whole, options(ctx)...); err != nil {
			return out, refused(r.Repository, err)
		}
		if out.Index, out.Platforms, err = join(ctx, repository, version, r.Revision); err != nil {
			return out, err
		}
	}
	return out, nil
}

// nameBase notes the parent in the registry, when it is there and the image begins with it:
// a rebase needs no more than the registry.
func nameBase(ctx context.Context, r Request, config *v1.ConfigFile, annotations map[string]string) error {
	if r.Parent == "" || len(r.Versions) == 0 {
		return nil
	}
	repository, err := name.NewRepository(r.Parent)
	if err != nil {
		return fmt.Errorf("cannot name the parent %s: %w", r.Parent, err)
	}
	tag := repository.Tag(r.Versions[0] + "-" + config.Architecture)
	parent, err := remote.Image(tag, options(ctx)...)
	if missing(err) {
		return nil
	}
	if err != nil {
		return refused(r.Parent, err)
	}
	theirs, err := parent.ConfigFile()
	if err != nil {
		return refused(r.Parent, err)
	}
	ids := config.RootFS.DiffIDs
	if len(theirs.RootFS.DiffIDs) > len(ids) {
		return nil
	}
	for i, d := range theirs.RootFS.DiffIDs {
		if ids[i] != d {
			return nil
		}
	}
	digest, err := parent.Digest()
	if err != nil {
		return refused(r.Parent, err)
	}
	annotations[baseName], annotations[baseHash] = tag.Name(), digest.String()
	return nil
}

// missing says whether a registry has answered that it has no such thing.
func missing(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && t.StatusCode == http.StatusNotFound
}

// refused says what to do about a registry's refusal.
func refused(repository string, err error) error {
	mend := ""
	var t *transport.Error
	switch {
	case errors.As(err, &t) && (t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden):
		host, _, _ := strings.Cut(repository, "/")
		mend = "; log in with `docker login " + host + "`"
	case missing(err):
		mend = "; is it published there?"
	}
	return fmt.Errorf("cannot reach %s in its registry: %w%s", repository, err, mend)
}
