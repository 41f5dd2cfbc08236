package teardown

import (
	"context"
	"errors"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// notStarted is the exit code of a container that there never was, as docker(1) has it.
const notStarted = 125

// ErrNeverBegan says that a sandbox never had a container. Nothing of it is left.
var ErrNeverBegan = errors.New("the sandbox never began")

// Adopt completes the record of a sandbox whose program was killed before it could write which
// container it made. One that has no container never began, and is forgotten (ErrNeverBegan), but for what
// it was to save. The caller holds the lock.
func Adopt(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) (datadir.Record, error) {
	if err := sameEngine(e, r); err != nil {
		return r, err
	}
	found, err := e.List(ctx, contract.LabelSandboxID+"="+r.SandboxID, contract.LabelDataDir+"="+sandboxDir.Dir().Path())
	if err != nil {
		return r, err
	}
	for _, c := range found {
		// A copy that was made of it has its labels, and another name.
		if c.Name == sandboxDir.ContainerName() {
			if _, err := e.Inspect(ctx, c.ID); err != nil {
				return r, err // listed and not known: the engine is still making it, and is asked again
			}
			r.Container, r.Engine = c.ID, e.ID()
			return r, sandboxDir.Save(r)
		}
	}
	if !r.Fresh {
		// It was to save what an earlier run has kept, which is all that there is of it.
		r.Ended = &datadir.Ended{At: time.Now().UTC(), ExitCode: notStarted, Outcome: datadir.NotStarted, Reason: "the program that was to save it was killed", Kept: true}
		return r, errors.Join(sandboxDir.Save(r), sandboxDir.Disk().Unmount())
	}
	for _, v := range r.Volumes {
		err = errors.Join(err, e.RemoveVolume(ctx, v))
	}
	if err != nil {
		return r, err
	}
	if err := sandboxDir.Remove(); err != nil {
		return r, err
	}
	return r, ErrNeverBegan
}
