package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/moby/moby/client"
)

// Volumes gives the names of the volumes that have all of the labels.
func (e *Engine) Volumes(ctx context.Context, labels ...string) ([]string, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", labels...)})
	if err != nil {
		return nil, wrap(err, nil, "cannot list the volumes")
	}
	var out []string
	for _, v := range res.Items {
		out = append(out, v.Name)
	}
	return out, nil
}

// VolumesNamed gives those of the names that volumes have.
func (e *Engine) VolumesNamed(ctx context.Context, names ...string) ([]string, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("name", names...)})
	if err != nil {
		return nil, wrap(err, nil, "cannot list the volumes")
	}
	var out []string
	for _, v := range res.Items {
		if slices.Contains(names, v.Name) { // the filter takes parts of names too
			out = append(out, v.Name)
		}
	}
	return out, nil
}

// RemoveVolume removes a volume; one that is not there is no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	ctx, end := e.bounded(ctx)
	defer end()
	_, err := e.c.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	return ignoreMissing(wrap(err, errNoVolume, "cannot remove the volume %s", name))
}

var errNoVolume = errors.New("there is no such volume")

// HasVolume says whether a volume is there.
func (e *Engine) HasVolume(ctx context.Context, name string) (bool, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	_, err := e.c.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	err = wrap(err, errNoVolume, "cannot ask for the volume %s", name)
	if errors.Is(err, errNoVolume) {
		return false, nil
	}
	return err == nil, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, ErrNoContainer) || errors.Is(err, errNoVolume) {
		return nil
	}
	return err
}

// Image is what is needed of an image.
type Image struct {
	ID     string
	Env    []string
	Labels map[string]string
}

// InspectImage asks for an image; ErrNoImage.
func (e *Engine) InspectImage(ctx context.Context, ref string) (Image, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, wrap(err, ErrNoImage, "cannot use the image %s", ref)
	}
	i := Image{ID: res.ID}
	if res.Config != nil {
		i.Env, i.Labels = res.Config.Env, res.Config.Labels
	}
	return i, nil
}
