package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/disk"
)

// prepareVolumes makes the disk that home and state are on, if it is limited, or mounts again the one
// that an earlier run has left. Volumes are made with the container, directories with the record.
func (x *session) prepareVolumes(ctx context.Context) error {
	sandboxDir := x.sandboxDir.Disk()
	limit := x.record.Limits.Disk
	switch {
	case !x.record.Fresh && limit != 0:
		return sandboxDir.Mount()
	case !x.record.Fresh:
		return nil
	}
	if err := checkVolumes(ctx, x.engine, x.record); err != nil || limit == 0 {
		return err
	}
	err := x.othersIDs()
	if err == nil {
		err = sandboxDir.Make(ctx, limit)
	}
	if err != nil {
		return x.withoutLimit(err)
	}
	return nil
}

// othersIDs says that the engine's root is not the machine's: what is root's alone on the
// disk would be no user's, and the home not the agent's.
func (x *session) othersIDs() error {
	if !x.engine.Machine().OtherIDs {
		return nil
	}
	return fmt.Errorf("%w: the engine gives its containers' users other IDs (userns-remap, or an engine without root)", disk.ErrUnavailable)
}

// withoutLimit does without a limit that cannot be held, if that may be; cause says why
// it cannot.
func (x *session) withoutLimit(cause error) error {
	if !errors.Is(cause, disk.ErrUnavailable) {
		return cause
	}
	if x.diskLimited {
		mend := "without --disk there is no limit"
		if x.Limits.Disk == "" {
			mend = "without ceiling.disk in the operator's limits.yaml there is no limit"
		}
		return fmt.Errorf("cannot limit the sandbox's disk: %w; %s", cause, mend)
	}
	x.record.Limits.Disk, x.record.DiskUnlimited = 0, cause.Error()
	return x.sandboxDir.Save(x.record)
}

// create makes the container of what spec says, with home and state. An engine that does not see what is mounted here (one in a mount
// namespace of its own, or a program in one) says that it does not find it.
func (x *session) create(ctx context.Context, spec engine.Spec) (string, error) {
	id, err := x.engine.Create(ctx, withHome(spec, x.sandboxDir, x.record))
	sandboxDir := x.sandboxDir.Disk()
	if err == nil || x.record.Limits.Disk == 0 || !strings.Contains(err.Error(), sandboxDir.Path()) {
		return id, err
	}
	err = fmt.Errorf("%w: the engine does not see what this program mounts, one of them has mounts of its own: %w", disk.ErrUnavailable, err)
	if !x.record.Fresh {
		return "", err
	}
	for _, v := range x.record.Volumes {
		if rerr := x.engine.RemoveVolume(ctx, v); rerr != nil {
			return "", errors.Join(err, rerr)
		}
	}
	if rerr := sandboxDir.Remove(); rerr != nil {
		return "", errors.Join(err, rerr)
	}
	if err := x.withoutLimit(err); err != nil {
		return "", err
	}
	return x.engine.Create(ctx, withHome(spec, x.sandboxDir, x.record))
}
