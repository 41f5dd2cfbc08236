// Package store is the images of a Docker engine (API 1.40 and later): it finds,
// names, reads and takes them. It never starts a container.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// ErrNoImage is an image that the engine does not have.
var ErrNoImage = errors.New("there is no such image")

// Store is an engine's images.
type Store struct {
	c    *client.Client
	arch string
	cpus int
	mem  int64
}

// Image is what an engine says of one.
type Image struct {
	ID      string
	Tags    []string
	Created time.Time
	Size    int64 // of all layers, unpacked
	Layers  []string
	Labels  map[string]string
	Arch    string
}

// Open connects to the engine that DOCKER_HOST names, by default the one of this machine.
func Open(ctx context.Context) (*Store, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("cannot use the container engine: %w; check DOCKER_HOST and its companions", err)
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("no container engine answers at %s: %w; start it, as root with scripts/ensure-engine.sh, or set DOCKER_HOST to one that runs", c.DaemonHost(), err)
	}
	return &Store{c: c, arch: goArch(info.Info.Architecture), cpus: info.Info.NCPU, mem: info.Info.MemTotal}, nil
}

// goArch is the name that Go and registries have for what uname(1) says.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// Close closes the connection.
func (s *Store) Close() error { return s.c.Close() }

// Arch is the architecture of the machine that the engine runs on (amd64, arm64).
func (s *Store) Arch() string { return s.arch }

// CPUs is how many the engine's machine has.
func (s *Store) CPUs() int { return s.cpus }

// Memory is what the engine's machine has, in bytes.
func (s *Store) Memory() int64 { return s.mem }

// Inspect finds an image by a reference or an ID: ErrNoImage when it is not there.
func (s *Store) Inspect(ctx context.Context, ref string) (Image, error) {
	r, err := s.c.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return Image{}, fmt.Errorf("%s: %w", ref, ErrNoImage)
	}
	if err != nil {
		return Image{}, fmt.Errorf("cannot ask the engine for %s: %w", ref, err)
	}
	im := Image{ID: r.ID, Tags: r.RepoTags, Size: r.Size, Layers: r.RootFS.Layers, Arch: r.Architecture}
	im.Created, _ = time.Parse(time.RFC3339Nano, r.Created) // none: made by an import
	if r.Config != nil {
		im.Labels = r.Config.Labels
	}
	return im, nil
}

// Tag gives an image another name; the name's former image loses it.
func (s *Store) Tag(ctx context.Context, source, ref string) error {
	if _, err := s.c.ImageTag(ctx, client.ImageTagOptions{Source: source, Target: ref}); err != nil {
		return fmt.Errorf("cannot tag %s as %s: %w", source, ref, err)
	}
	return nil
}

// Untag takes a name away, and the image with it when it has no other name. One that a
// container uses stays.
func (s *Store) Untag(ctx context.Context, ref string) error {
	_, err := s.c.ImageRemove(ctx, ref, client.ImageRemoveOptions{PruneChildren: true})
	if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("cannot remove %s: %w", ref, err)
}

// Tagged lists the names of the images whose tag begins with prefix, newest image first.
func (s *Store) Tagged(ctx context.Context, repository, prefix string) ([]string, error) {
	list, err := s.c.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("reference", repository)})
	if err != nil {
		return nil, fmt.Errorf("cannot list the engine's images: %w", err)
	}
	slices.SortStableFunc(list.Items, func(a, b imageSummary) int { return int(b.Created - a.Created) })
	var out []string
	for _, im := range list.Items {
		for _, tag := range im.RepoTags {
			if strings.HasPrefix(tag, repository+":"+prefix) {
				out = append(out, tag)
			}
		}
	}
	return out, nil
}

// Save reads images as `docker save` writes them.
func (s *Store) Save(ctx context.Context, refs ...string) (io.ReadCloser, error) {
	r, err := s.c.ImageSave(ctx, refs)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", strings.Join(refs, ", "), ErrNoImage)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s from the engine: %w", strings.Join(refs, ", "), err)
	}
	return r, nil
}

// Load takes what write writes, as `docker load` does.
func (s *Store) Load(ctx context.Context, write func(io.Writer) error) error {
	r, w := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := write(w)
		w.CloseWithError(err)
		return err
	})
	g.Go(func() error {
		defer r.Close() // the writer does not wait for a reader that has gone
		answer, err := s.c.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
		if err != nil {
			return fmt.Errorf("the engine does not take the image: %w", err)
		}
		defer answer.Close()
		return loaded(answer)
	})
	return g.Wait()
}
