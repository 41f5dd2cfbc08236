package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// architectures are those that images are built for, in the order of an index.
var architectures = []string{"amd64", "arm64"}

// mostJoins bounds how often an index is written again because another machine has pushed
// meanwhile: each of them pushes once.
const mostJoins = 10

// join makes VERSION the index of the platforms' images of one commit. Each machine that
// pushes first sets its platform's tag and then joins; since it looks again after writing,
// the last of them to write has seen the tags of all.
func join(ctx context.Context, repository name.Repository, version, commit string) (digest string, platforms []string, err error) {
	written := ""
	for range mostJoins {
		index, platforms, err := collect(ctx, repository, version, commit)
		if err != nil {
			return "", nil, err
		}
		hash, err := index.Digest()
		if err != nil {
			return "", nil, err
		}
		if hash.String() == written {
			return written, platforms, nil
		}
		if err := remote.WriteIndex(repository.Tag(version), index, options(ctx)...); err != nil {
			return "", nil, refused(repository.Name(), err)
		}
		written = hash.String()
	}
	return "", nil, fmt.Errorf("cannot join the platforms of %s:%s: others publish there without end", repository.Name(), version)
}

func collect(ctx context.Context, repository name.Repository, version, commit string) (v1.ImageIndex, []string, error) {
	var (
		adds      []mutate.IndexAddendum
		platforms []string
		shared    map[string]string
	)
	for _, arch := range architectures {
		img, err := remote.Image(repository.Tag(version+"-"+arch), options(ctx)...)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, nil, refused(repository.Name(), err)
		}
		m, err := img.Manifest()
		if err != nil {
			return nil, nil, refused(repository.Name(), err)
		}
		if m.Annotations[revision] != commit {
			continue
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		platforms = append(platforms, "linux/"+arch)
		if shared == nil {
			shared = map[string]string{}
			for k, v := range m.Annotations {
				shared[k] = v
			}
		}
		for k, v := range shared {
			if m.Annotations[k] != v {
				delete(shared, k) // true of one platform alone
			}
		}
	}
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, adds...), types.OCIImageIndex)
	return mutate.Annotations(index, shared).(v1.ImageIndex), platforms, nil
}

// platform is what an index says of an image.
func platform(d v1.Descriptor) string {
	if d.Platform == nil {
		return ""
	}
	return strings.Join(slices.DeleteFunc([]string{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}, func(s string) bool { return s == "" }), "/")
}
