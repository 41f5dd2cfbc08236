// Package teardown decides what a sandbox that has ended leaves behind.
//
// One that ended well, which means that sandbox-init says that all is in S3, loses its
// container, its home and its state; the output is kept. One that ended otherwise keeps them,
// since they may hold what S3 does not: unsaved data is never thrown away here.
//
// How it ended is not told by the exit code alone: 137 is the code of a workload that was
// killed, all saved, and of a container that was. What sandbox-init wrote in its state,
// in a directory that the host sees, tells them apart; where it wrote nothing, nothing
// is believed to be saved.
//
// # One verdict, one life
//
// Any client of the engine can start an ended container again, and what its second life
// writes is not covered by a verdict on the first. So a verdict names the life that it
// judges (datadir.Ended.Life, the start as the engine knows it), and one that lets volumes be
// removed is made only while the container cannot be started (datadir.Sandbox.Seal). It then stays
// true, over a kill of this program as well. A verdict on a life that has a successor
// is made anew.
package teardown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"golang.org/x/sys/unix"
)

// Engine is what ending a sandbox asks of the engine.
type Engine interface {
	ID() string
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Inspect(ctx context.Context, id string) (engine.Container, error)
	Logs(ctx context.Context, id string, tty, follow bool, tail int, out, errw io.Writer) error
	Remove(ctx context.Context, id string, force bool) error
	HasVolume(ctx context.Context, name string) (bool, error)
	RemoveVolume(ctx context.Context, name string) error
	Scrub(ctx context.Context, image, dir string) error
}

// ErrRunning says that the sandbox has not ended.
var ErrRunning = errors.New("the sandbox still runs")

// ErrOtherEngine says that the engine which answers is not the one that runs the sandbox.
var ErrOtherEngine = errors.New("another engine answers than the one that runs it")

// End records how a sandbox ended and removes what is not needed any more. The caller
// holds its lock. It may be called again after it failed or was killed in the middle,
// and then goes on from there. ErrRunning when the container runs, again or still;
// ErrNeverBegan when there never was one.
func End(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) (datadir.Record, error) {
	if r.Ended != nil && r.Ended.Removed {
		return r, nil
	}
	if r.Ended == nil && r.Container == "" {
		var err error
		if r, err = Adopt(ctx, e, sandboxDir, r); err != nil {
			return r, err
		}
	}
	r, err := verdict(ctx, e, sandboxDir, r)
	if err != nil {
		return r, err
	}
	if r.Ended.Kept {
		// What it has written stays in its image, and is mounted when it is saved.
		return r, errors.Join(sandboxDir.Unseal(), sandboxDir.Disk().Unmount())
	}
	return Remove(ctx, e, sandboxDir, r)
}

// verdict gives the record with the verdict on the container's last life. Unless that is to
// be kept, the container is sealed.
func verdict(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) (datadir.Record, error) {
	c, gone, err := inspect(ctx, e, r)
	if err != nil {
		return r, err
	}
	if c.Running {
		return revoke(sandboxDir, r)
	}
	if r.Ended != nil && (gone || r.Ended.Life.Equal(c.Began)) {
		if r.Ended.Kept {
			return r, nil
		}
		return r, sandboxDir.Seal()
	}
	// First the seal, then a second look: a start between the two is seen, and none comes after.
	if err := sandboxDir.Seal(); err != nil {
		return r, err
	}
	if c, gone, err = inspect(ctx, e, r); err != nil {
		return r, err
	}
	if c.Running {
		return revoke(sandboxDir, r)
	}
	ended, err := judge(ctx, e, sandboxDir, r, c, gone)
	if err != nil {
		return r, err
	}
	r.Ended = &ended
	if ended.Kept {
		_ = sandboxDir.Disk().Unmount() // before it is told; End does so once more and tells of errors
	}
	err = sandboxDir.Save(r)
	if !ended.Kept && IsFull(err) {
		// It is carried out under the seal, which frees space, and would be found the same again.
		err = nil
	}
	return r, err
}

// IsFull says that there was no space to write something down.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// revoke takes back what was decided of a sandbox that runs, and gives ErrRunning.
func revoke(sandboxDir datadir.Sandbox, r datadir.Record) (datadir.Record, error) {
	err := errors.Join(sandboxDir.Unseal(), sandboxDir.Marks().Clear()) // they were the other life's
	if r.Ended != nil {
		r.Ended = nil
		err = errors.Join(err, sandboxDir.Save(r))
	}
	if err != nil {
		return r, err
	}
	return r, ErrRunning
}

// sameEngine refuses an engine that the sandbox was not made with: that it has no such container says
// nothing.
func sameEngine(e Engine, r datadir.Record) error {
	if r.Engine == "" || r.Engine == e.ID() {
		return nil
	}
	return fmt.Errorf("the sandbox %s: %w; set DOCKER_HOST to the one that runs it: %s", r.SandboxID, ErrOtherEngine, r.EngineHost)
}

// inspect asks for the container, gone when there is none.
func inspect(ctx context.Context, e Engine, r datadir.Record) (c engine.Container, gone bool, err error) {
	if r.Container == "" {
		return c, true, nil
	}
	if err := sameEngine(e, r); err != nil {
		return c, false, err
	}
	c, err = e.Inspect(ctx, r.Container)
	if errors.Is(err, engine.ErrNoContainer) {
		return engine.Container{}, true, nil
	}
	return c, false, err
}

// unreadable is the phase of a sandbox whose last words cannot be read.
const unreadable = "unreadable"

// judge looks at what is left of the sandbox.
func judge(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record, c engine.Container, gone bool) (datadir.Ended, error) {
	st, err := sandboxDir.State()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st = contract.State{} // nothing was told
	case err != nil:
		st = contract.State{Phase: unreadable} // something may have been
	}
	r.Fresh = r.Fresh && !gone && (!c.Started || !r.FirstLife.IsZero() && r.FirstLife.Equal(c.Began))
	var victims []datadir.Victim
	if !gone && (c.OOMKilled || r.Limits.Memory != 0) {
		victims = readVictims(c.ID, c.Began)
		c.OOMKilled = c.OOMKilled || len(victims) > 0
	}
	ended := decide(r, c, gone, marks{stop: sandboxDir.Marks().Stop(), timeout: sandboxDir.Marks().Timeout()}, st)
	if c.OOMKilled {
		ended.OOM = victims
		ended.Reason = ofMemory(ended.Reason, r.Limits.Memory, ended.OOM)
	}
	if gone && ended.Kept {
		// Another program removed the container, perhaps with its volumes.
		if ended.Kept, err = hasHome(ctx, e, sandboxDir, r); err != nil {
			return datadir.Ended{}, err
		}
	}
	return ended, nil
}

// hasHome says whether there is anything left of home and state.
func hasHome(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) (bool, error) {
	for _, v := range r.Volumes {
		if has, err := e.HasVolume(ctx, v); has || err != nil {
			return has, err
		}
	}
	if !r.Dirs {
		return false, nil
	}
	return sandboxDir.HasHome()
}

// Remove removes the container, the home and the state of a sandbox that has ended, and keeps
// its output. What they held is gone: the caller has made sure that this is wanted.
func Remove(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) (datadir.Record, error) {
	var err error
	if r.Container != "" { // else it was to be saved, and not even that began
		if err := KeepOutput(ctx, e, sandboxDir, r); err != nil && !IsFull(err) {
			return r, err // on a full disk the output gives way to the space that the removal frees
		}
		err = e.Remove(ctx, r.Container, false)
	}
	for _, v := range r.Volumes {
		if err == nil {
			err = e.RemoveVolume(ctx, v)
		}
	}
	if err == nil {
		err = errors.Join(sandboxDir.DiscardHome(), sandboxDir.Disk().Remove())
	}
	if err != nil {
		return r, fmt.Errorf("cannot remove what the sandbox %s has left: %w", r.SandboxID, err)
	}
	ended := *r.Ended
	ended.Kept, ended.Removed = false, true
	r.Ended = &ended
	err = sandboxDir.Save(r)
	if IsFull(err) {
		// The space that it is to be written in is in the trash.
		if err = sandboxDir.Dir().Trash().Empty(ctx); err == nil {
			err = sandboxDir.Save(r)
		}
	}
	if err != nil {
		return r, err // with the state still there, from which it is found again
	}
	clean(ctx, e, sandboxDir, r) // leftovers do no harm
	return r, nil
}

// outputWithin bounds the reading of an output, of which the engine keeps some 20 MB.
const outputWithin = 10 * time.Minute

// KeepOutput writes the container's output to the sandbox's directory, whole or not at all. It is
// bounded as the container's log is. A container that is gone has left none.
func KeepOutput(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) error {
	c, err := e.Inspect(ctx, r.Container)
	if errors.Is(err, engine.ErrNoContainer) {
		return nil
	}
	if err != nil {
		return err
	}
	if !c.Started {
		return nil
	}
	f, err := os.OpenFile(sandboxDir.LogFile()+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep the output of the sandbox %s: %w", r.SandboxID, err)
	}
	defer os.Remove(f.Name()) // fails when it was renamed
	defer f.Close()
	ctx, stop := context.WithTimeout(ctx, outputWithin)
	defer stop()
	var meter engine.LogMeter
	to := meter.Through(f)
	if err := e.Logs(ctx, r.Container, c.TTY, false, -1, to, to); err != nil {
		return err
	}
	if meter.Cut() {
		if err := sandboxDir.Marks().SetLogCut(); err != nil {
			return err
		}
	}
	if err := os.Rename(f.Name(), sandboxDir.LogFile()); err != nil {
		return fmt.Errorf("cannot keep the output of the sandbox %s: %w", r.SandboxID, err)
	}
	return nil
}

// clean empties the mounted directories. What the container's root has written there an
// operator who is not root may not remove; a container's root may.
func clean(ctx context.Context, e Engine, sandboxDir datadir.Sandbox, r datadir.Record) {
	for _, dir := range []string{sandboxDir.RunDir(), sandboxDir.SealedRunDir()} {
		if os.RemoveAll(dir) != nil && e.Scrub(ctx, r.RunsImage(), dir) == nil {
			os.RemoveAll(dir)
		}
	}
	os.RemoveAll(sandboxDir.HostDir())
}
