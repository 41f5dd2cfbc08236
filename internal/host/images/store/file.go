package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// ErrNoFile is a file that an image does not have.
var ErrNoFile = errors.New("there is no such file")

// mostLinks bounds how many symbolic links are followed, as Linux does (path_resolution(7)).
const mostLinks = 40

// ReadFile reads a file of an image: ErrNoImage, ErrNoFile. Nothing of the image runs: the
// container that it is read from is never started. A file larger than most bytes is an error.
func (s *Store) ReadFile(ctx context.Context, ref, file string, most int64) (content []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot read %s of %s: %w", file, ref, err)
		}
	}()
	made, err := s.c.ContainerCreate(ctx, client.ContainerCreateOptions{
		// A command, since an image without one is refused even if it is never started.
		Config:     &container.Config{Image: ref, Entrypoint: []string{"none"}},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if errdefs.IsNotFound(err) {
		return nil, ErrNoImage
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		// With the volumes that the image asks for.
		_, rerr := s.c.ContainerRemove(context.WithoutCancel(ctx), made.ID, client.ContainerRemoveOptions{RemoveVolumes: true, Force: true})
		err = errors.Join(err, rerr)
	}()
	at := file
	for range mostLinks {
		content, link, err := s.copyOut(ctx, made.ID, at, most)
		if err != nil || link == "" {
			return content, err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(at), link)
		}
		at = link
	}
	return nil, errors.New("too many symbolic links")
}

// copyOut reads one entry: its content, or where it links to. The engine follows links in
// the directories above it, and stays within the container.
func (s *Store) copyOut(ctx context.Context, id, file string, most int64) (content []byte, link string, err error) {
	res, err := s.c.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: file})
	if errdefs.IsNotFound(err) {
		return nil, "", ErrNoFile
	}
	if err != nil {
		return nil, "", err
	}
	defer res.Content.Close()
	r := tar.NewReader(res.Content)
	h, err := r.Next()
	switch {
	case err != nil:
		return nil, "", err
	case h.Typeflag == tar.TypeSymlink:
		return nil, h.Linkname, nil
	case h.Typeflag != tar.TypeReg:
		return nil, "", errors.New("it is no regular file")
	case h.Size > most:
		return nil, "", fmt.Errorf("it has %d bytes, and %d are allowed", h.Size, most)
	}
	content, err = io.ReadAll(r)
	return content, "", err
}
