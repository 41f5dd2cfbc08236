package check

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/conformance/reaper"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/conformance/service"
)

// Fixture is what all checks of a run share. The run fills it in and closes what it put there.
type Fixture struct {
	Ref      string // the image that is judged
	Parent   string // the image that it extends; "" when it extends none
	Engine   *engine.Engine
	Probe    string // the probe program, on the host
	Dir      string // of sockets and data
	Server   *s3.Server
	Services *service.Set

	image, parent once[*image.Image]
	manifest      once[*Manifest]
}

// once is a value that the first caller makes, for all.
type once[T any] struct {
	do    sync.Once
	value T
	err   error
}

func (o *once[T]) get(make func() (T, error)) (T, error) {
	o.do.Do(func() { o.value, o.err = make() })
	return o.value, o.err
}

// Lock is the file that tells the reaper which of the run's servers still live.
func (f *Fixture) Lock() string { return filepath.Join(f.Dir, reaper.LockName) }

// Manifest is the manifest of the image that is judged, read once.
func (f *Fixture) Manifest(ctx context.Context) (*Manifest, error) {
	return f.manifest.get(func() (*Manifest, error) { return ReadManifest(context.WithoutCancel(ctx), f.Engine, f.Ref) })
}

// Run runs a check with an Env of its own, bounds it in time, and turns a panic into an error of that
// check alone. It returns what the check saw.
func (f *Fixture) Run(ctx context.Context, c *Check, limit time.Duration) (evidence []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the check did not end within %s", limit))
	defer cancel()
	e := &Env{fixture: f, id: c.ID}
	defer func() {
		e.close()
		evidence = e.evidence
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v\n%s", p, debug.Stack())
		} else if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}()
	return nil, c.Run(ctx, e)
}
