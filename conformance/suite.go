package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"crypto/rand"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/reaper"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/conformance/service"
	"github.com/matrx/sandbox/contract/spec"
)

// Options say what to prove of which image.
type Options struct {
	Image string // reference; the engine must have it

	// Profile of the contract; "": what the image's manifest names, or its parent's where
	// that promises more.
	Profile string

	// Parent is the image that this one extends; "": what the manifest names as
	// parent_image. NoParent says that it extends none.
	Parent   string
	NoParent bool

	// Contract selects the requirements that exist since at most this version; "": what
	// the image's manifest names, or what the test was told by -contract.
	Contract string

	Features []string // only requirements of these; empty: all
	Only     []string // only these IDs, and what they need; empty: all
	Skip     []string // IDs not to be run; a MUST among them makes the verdict partial

	// Checks are executables on the host that are run as the agent in a started sandbox:
	// 0 passes, 77 is unsupported, anything else fails with standard error as the reason.
	// What lies beside one of them is there for it to read.
	Checks []string

	// Extra are requirements of the importer's own, judged like the contract's.
	Extra []Extra

	Programs string        // directory of the suite's own programs; "": built with the go command
	Parallel int           // checks side by side in Execute; 0: 4
	Timeout  time.Duration // of one check; 0: 2 minutes

	// Progress is called after each result, one call at a time; may be nil.
	Progress func(Result)
}

// Extra is a requirement of the importer's own and its check.
type Extra struct {
	Requirement spec.Requirement
	Check       Check
}

// Run judges an image in subtests named by the requirements' IDs. What is no MUST is
// logged and fails no test; a verdict other than conformant fails t, unless the caller
// narrowed the run by Features, Only or Skip, or by go test's -run.
func Run(t *testing.T, o Options) *Report {
	t.Helper()
	if o.Contract == "" {
		o.Contract = contractFlag
	}
	s, err := open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("contract", func(t *testing.T) {
		for _, id := range s.order {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				s.report(t, s.schedule.result(t.Context(), id))
			})
		}
	})
	r := s.finish()
	narrowed := len(o.Features)+len(o.Only)+len(o.Skip) > 0 ||
		slices.ContainsFunc(r.Results, func(r Result) bool { return r.Reason == notSelected })
	if r.Verdict != Conformant && !narrowed && !t.Failed() {
		t.Errorf("%s is %s", r.Image, r.Verdict)
	}
	return r
}

// Execute judges an image without a test. The error says why it could not even begin: no
// engine, no image, a wrong option.
func Execute(ctx context.Context, o Options) (*Report, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	g.SetLimit(o.Parallel)
	for _, id := range s.order {
		g.Go(func() error {
			r := s.schedule.result(ctx, id)
			if o.Progress != nil {
				s.progress.Lock()
				defer s.progress.Unlock()
				o.Progress(r)
			}
			return nil
		})
	}
	_ = g.Wait() // results carry their errors
	r := s.finish()
	err = s.close()
	if ctx.Err() != nil {
		return nil, errors.Join(fmt.Errorf("the run was interrupted, and nothing can be said of %s: %w", o.Image, context.Cause(ctx)), err)
	}
	return r, err
}

// suite is one run.
type suite struct {
	options  Options
	fixture  check.Fixture
	schedule *schedule
	order    []string
	started  time.Time
	digest   string
	profile  string
	version  spec.Version
	progress sync.Mutex
	reaper   *reaper.Reaper
}

func open(ctx context.Context, o Options) (_ *suite, err error) {
	s := &suite{started: time.Now()}
	if o.Image == "" {
		return nil, errors.New("Options.Image is missing: name the image to judge")
	}
	if o.Parallel < 0 || o.Timeout < 0 {
		return nil, fmt.Errorf("Options.Parallel (--parallel) is %d and Options.Timeout %s: neither can be negative", o.Parallel, o.Timeout)
	}
	s.options = o
	f := &s.fixture
	f.Ref = o.Image
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if f.Dir, err = os.MkdirTemp("", "conformance-"); err != nil {
		return nil, err
	}
	// Servers that run as other users find their own directories below it.
	if err = os.Chmod(f.Dir, 0o711); err != nil {
		return nil, err
	}
	if f.Engine, err = engine.Connect(ctx, rand.Text()); err != nil {
		return nil, err
	}
	if s.digest, err = f.Engine.ImageID(ctx, o.Image); err != nil {
		return nil, err
	}
	own, err := programs(ctx, o.Programs, f.Dir)
	if err != nil {
		return nil, err
	}
	self := filepath.Join(own, serverProgram)
	f.Probe = filepath.Join(own, probeProgram)
	f.Services = service.New(service.Host{Program: self, Lock: f.Lock(), Dir: f.Dir})
	if s.reaper, err = reaper.Start(self, f.Engine.Run, f.Dir); err != nil {
		return nil, err
	}
	if f.Server, err = s3.Start(ctx, self, filepath.Join(f.Dir, "s3"), f.Lock()); err != nil {
		return nil, err
	}
	if err := s.fromManifest(ctx, &s.options); err != nil {
		return nil, err
	}
	f.Parent, s.profile = s.options.Parent, s.options.Profile
	return s, s.plan(spec.Current())
}

// report gives a result to a subtest.
func (s *suite) report(t *testing.T, r Result) {
	for _, e := range r.Evidence {
		t.Log(e)
	}
	say := fmt.Sprintf("%s (%s) %s: %s", r.ID, r.Level, r.Status, r.Reason)
	if r.Remedy != "" {
		say += "\nremedy: " + r.Remedy
	}
	switch r.Status {
	case Pass:
	case Failed, Error:
		if r.Level == spec.Must || r.Status == Error {
			t.Errorf("%s\n%s", r.Text, say)
			return
		}
		t.Log(say)
	default:
		t.Log(say)
	}
}

// notSelected is why a requirement was skipped whose subtest -run left out.
const notSelected = "go test's -run left it out"

// finish collects the results that there are.
func (s *suite) finish() *Report {
	o := s.options
	r := &Report{
		Image: o.Image, Digest: s.digest, Parent: o.Parent, Contract: s.version.String(), Profile: s.profile,
		Suite: version(), Engine: s.fixture.Engine.Is, Started: s.started, Took: time.Since(s.started),
	}
	for _, id := range s.order {
		t := s.schedule.tasks[id]
		t.once.Do(func() { // filtered out by the test runner
			t.result = Result{Requirement: t.requirement, ID: id, Level: t.requirement.Level, Text: t.requirement.Text, Status: Skipped, Reason: notSelected}
		})
		r.Results = append(r.Results, t.result)
	}
	r.Verdict = verdict(r.Results)
	return r
}

func (s *suite) close() error {
	var errs []error
	if s.fixture.Engine != nil {
		errs = append(errs, s.fixture.Engine.Sweep(context.Background()), s.fixture.Engine.Close())
	}
	if s.fixture.Services != nil {
		s.fixture.Services.Stop()
	}
	if s.fixture.Server != nil {
		s.fixture.Server.Close()
	}
	if s.fixture.Dir != "" {
		errs = append(errs, os.RemoveAll(s.fixture.Dir))
	}
	// Last: until here the reaper cleans up after a SIGKILL.
	if s.reaper != nil {
		errs = append(errs, s.reaper.Dismiss())
	}
	return errors.Join(errs...)
}
