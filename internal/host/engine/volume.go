package engine

import (
	"context"
	"errors"

	"github.com/moby/moby/client"
)

// MakeVolume makes a volume; one that is there stays as it is.
func (e *Engine) MakeVolume(ctx context.Context, name string, labels map[string]string) error {
	_, err := e.c.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Labels: labels})
	return wrap(err, nil, "cannot make the volume %s", name)
}

// MakeVolumeAt makes a volume of a directory of the engine's machine. The engine looks for it when a
// container is made and fails when it is not there: it does not make one. Removing the
// volume leaves it.
func (e *Engine) MakeVolumeAt(ctx context.Context, name, dir string, labels map[string]string) error {
	_, err := e.c.VolumeCreate(ctx, client.VolumeCreateOptions{
		Name: name, Labels: labels, Driver: "local",
		DriverOpts: map[string]string{"type": "none", "o": "bind", "device": dir}, // mount(8)'s
	})
	return wrap(err, nil, "cannot make the volume %s of %s", name, dir)
}

// Volumes gives the names of the volumes that have all of the labels.
func (e *Engine) Volumes(ctx context.Context, labels ...string) ([]string, error) {
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

// RemoveVolume removes a volume; one that is not there is no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	_, err := e.c.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	return ignoreMissing(wrap(err, errNoVolume, "cannot remove the volume %s", name))
}

var errNoVolume = errors.New("there is no such volume")

// HasVolume says whether a volume is there.
func (e *Engine) HasVolume(ctx context.Context, name string) (bool, error) {
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
