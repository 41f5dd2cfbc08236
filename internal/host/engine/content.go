package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// ErrNoFile says that an image or container has no such file.
var ErrNoFile = errors.New("there is no such file")

// ImageFile reads a file of an image, at most max bytes of it, and runs nothing of the
// image: the container that it is read from is never started.
func (e *Engine) ImageFile(ctx context.Context, image, path string, most int64) (content []byte, err error) {
	ctx, end := e.bounded(ctx)
	defer end()
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("cannot read %s of the image %s: %w", path, image, err)
	}
	// A command, since an image without one is refused, although this one never starts.
	made, err := e.c.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: image, Cmd: []string{"none"}, Labels: helperLabels()},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err != nil {
		return nil, wrap(err, ErrNoImage, "cannot read %s of the image %s", path, image)
	}
	defer func() { err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), made.ID, true)) }()
	res, err := e.c.CopyFromContainer(ctx, made.ID, client.CopyFromContainerOptions{SourcePath: path})
	if errdefs.IsNotFound(err) {
		return fail(ErrNoFile)
	}
	if err != nil {
		return fail(err)
	}
	defer res.Content.Close()
	r := tar.NewReader(res.Content)
	h, err := r.Next()
	switch {
	case err != nil:
		return fail(err)
	case h.Typeflag != tar.TypeReg:
		return fail(errors.New("it is not a file"))
	case h.Size > most:
		return fail(fmt.Errorf("it has %d bytes, and may have %d", h.Size, most))
	}
	if content, err = io.ReadAll(r); err != nil {
		return fail(err)
	}
	return content, nil
}
