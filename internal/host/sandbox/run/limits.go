package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/access"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// initProcesses come on top of what the workload may have: the threads of sandbox-init, of
// the storage process and of the exec server count against the container's limit as well.
const initProcesses = 64 + 24

// mostManifest is far more than any manifest has.
const mostManifest = 1 << 20

// decide says what the sandbox may use. One that only saves what an earlier run has left
// gets what that one had, but for the time: what is left has to go up.
func (x *session) decide(ctx context.Context, image engine.Image) error {
	if !x.record.Fresh {
		x.record.Limits.Timeout = 0
		return x.sandboxDir.Save(x.record)
	}
	m, err := manifest(ctx, x.engine, x.dir, x.record.Image, image.ID)
	if err != nil {
		return err
	}
	machine := x.engine.Machine()
	ceiling, err := access.ReadCeiling(machine.Memory, machine.CPUs)
	if err != nil {
		return err
	}
	var merr error
	x.record.Limits, err = access.Decide(m, x.Limits, ceiling)
	// An image's own is a wish. What the operator says, here or for all of them, is not.
	x.diskLimited = x.Limits.Disk != "" || ceiling.Disk != 0
	x.record.Access, merr = access.DecideMode(m, x.Access, x.Network)
	if err = errors.Join(err, merr); err != nil {
		return err
	}
	x.record.Confinement = x.confine(m)
	if x.record.Confinement.ReadOnlyRoot && x.Limits.Tmp == "" {
		x.record.Limits.Tmp = access.TmpInMemory(x.record.Limits, ceiling)
	}
	if !hostd.DividesMemory() {
		if files, much := access.FitFiles(&x.record.Limits, x.Limits, x.record.Confinement.ReadOnlyRoot); much {
			x.out.say("files in memory may take %d MB of the %d MB of --memory, and storage may find none left for the last changes: ask for less with --tmp-size and --shm-size", files>>20, x.record.Limits.Memory>>20)
		}
	}
	if len(machine.Cannot) > 0 {
		x.out.say("the kernel of this machine does not hold a container's limits on %s", strings.Join(machine.Cannot, ", "))
	}
	return x.sandboxDir.Save(x.record)
}

// manifest is what an image says of itself, nil when it says nothing.
func manifest(ctx context.Context, e *engine.Engine, d datadir.Dir, ref, imageID string) (*catalog.Manifest, error) {
	content, known, err := d.Manifest(imageID)
	if err != nil {
		return nil, fmt.Errorf("cannot read the record of the image %s: %w", ref, err)
	}
	if !known {
		content, err = e.ImageFile(ctx, imageID, contract.Capabilities, mostManifest)
		if errors.Is(err, engine.ErrNoFile) {
			content, err = nil, nil
		}
		if err == nil {
			err = d.SetManifest(imageID, content)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(content) == 0 {
		return nil, nil
	}
	m := new(catalog.Manifest)
	if err := json.Unmarshal(content, m); err != nil {
		return nil, fmt.Errorf("cannot read %s of the image %s: %w; `sandbox conformance %s` says what else is wrong with it", contract.Capabilities, ref, err, ref)
	}
	return m, nil
}

func limits(l datadir.Limits) engine.Limits {
	out := engine.Limits{Memory: l.Memory, CPUs: l.CPUs, OpenFiles: l.OpenFiles, Tmp: l.Tmp, Shm: l.Shm}
	if l.Processes != 0 {
		out.PIDs = l.Processes + initProcesses
	}
	return out
}
