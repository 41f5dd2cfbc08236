package check

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract/spec"
)

// Env is what a check has to work with. Each check gets one of its own; what it starts
// is removed when the check ends.
type Env struct {
	fixture  *Fixture
	id       string
	evidence []string

	mu     sync.Mutex
	onEnd  []func()
	spaces int
}

// Image is the image at rest. It is read once for all checks.
func (e *Env) Image() (*image.Image, error) {
	f := e.fixture
	return f.image.get(func() (*image.Image, error) { return f.Engine.Image(context.Background(), f.Ref) })
}

// ParentImage is the parent at rest, read once too. Call it only where Parent names one.
func (e *Env) ParentImage() (*image.Image, error) {
	f := e.fixture
	return f.parent.get(func() (*image.Image, error) { return f.Engine.Image(context.Background(), f.Parent) })
}

// Manifest is the image's manifest. A Fail says that there is none, or that it cannot be read.
func (e *Env) Manifest(ctx context.Context) (*Manifest, error) { return e.fixture.Manifest(ctx) }

// Ref is the image's reference.
func (e *Env) Ref() string { return e.fixture.Ref }

// Parent is the reference of the image that this one extends; "" when it extends none.
func (e *Env) Parent() string { return e.fixture.Parent }

// Engine starts containers that are no sandboxes.
func (e *Env) Engine() *engine.Engine { return e.fixture.Engine }

// Vocabulary maps the names of a manifest to their probes.
func (e *Env) Vocabulary() *spec.Vocabulary { return spec.CurrentVocabulary() }

// Secret is the storage credentials' secret key: what the workload must not find.
func (e *Env) Secret() string { return e.fixture.Server.SecretKey }

// Saw records what was seen, for people who read the report.
func (e *Env) Saw(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evidence = append(e.evidence, fmt.Sprintf(format, args...))
}

// AtEnd runs f when the check has ended, the last one first.
func (e *Env) AtEnd(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onEnd = append(e.onEnd, f)
}

func (e *Env) close() {
	for i := len(e.onEnd) - 1; i >= 0; i-- {
		e.onEnd[i]()
	}
}

// Workspace makes a user of this check's own, with nothing in S3.
func (e *Env) Workspace() (*s3.Workspace, error) {
	e.mu.Lock()
	e.spaces++
	user := fmt.Sprintf("%s-%d", strings.ToLower(e.id), e.spaces)
	e.mu.Unlock()
	w, err := e.fixture.Server.Workspace(user, filepath.Join(e.fixture.Dir, user))
	if err != nil {
		return nil, err
	}
	e.AtEnd(func() { _ = w.Link.Close() })
	return w, nil
}
