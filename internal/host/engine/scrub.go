package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// Scrub empties a directory of the host's as a container's root: what another
// container's root has written there, the operator may not remove.
func (e *Engine) Scrub(ctx context.Context, image, dir string) (err error) {
	ctx, end := e.bounded(ctx)
	defer end()
	const at = "/run/scrub"
	res, err := e.c.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image:      image,
			User:       "0",
			Labels:     helperLabels(),
			Entrypoint: []string{"find", at, "-mindepth", "1", "-delete"},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			CapDrop:     []string{"ALL"},
			CapAdd:      []string{"DAC_OVERRIDE", "FOWNER"},
			SecurityOpt: []string{"no-new-privileges:true"},
			Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: at}},
		},
	})
	if err != nil {
		return wrap(err, ErrNoImage, "cannot empty %s", dir)
	}
	defer func() { err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), res.ID, true)) }()
	ended := e.Wait(ctx, res.ID, true)
	if err := e.Start(ctx, res.ID); err != nil {
		return err
	}
	exit := <-ended
	if exit.Err == nil && exit.Code != 0 {
		return fmt.Errorf("cannot empty %s: exit code %d", dir, exit.Code)
	}
	return exit.Err
}
