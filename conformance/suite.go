package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/rand"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract/spec"
)

// Options say what to prove of which image.
type Options struct {
	Image string // reference; the engine must have it

	// Profile of the contract; "": what the image's manifest names.
	Profile string

	// Parent is the image that this one extends; "": what the manifest names as
	// parent_image. NoParent says that it extends none.
	Parent   string
	NoParent bool

	// Contract selects the requirements that exist since at most this version; "": the
	// newest that this suite knows.
	Contract string

	Features []string // only requirements of these; empty: all
	Only     []string // only these IDs, and what they need; empty: all
	Skip     []string // IDs not to be run; a MUST among them makes the verdict partial

	// Checks are executables on the host that are run as the agent in a started sandbox:
	// 0 passes, 77 is unsupported, anything else fails with standard error as the reason.
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
// narrowed the run by Features, Only or Skip.
func Run(t *testing.T, o Options) *Report {
	t.Helper()
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
	if narrowed := len(o.Features)+len(o.Only)+len(o.Skip) > 0; r.Verdict != Conformant && !narrowed && !t.Failed() {
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
	g.SetLimit(max(1, o.Parallel))
	if o.Parallel == 0 {
		g.SetLimit(4)
	}
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
	return r, s.close()
}

// suite is one run.
type suite struct {
	shared   *shared
	schedule *schedule
	order    []string
	started  time.Time
	digest   string
	profile  string
	version  spec.Version
	progress sync.Mutex
}

func open(ctx context.Context, o Options) (_ *suite, err error) {
	s := &suite{started: time.Now()}
	if o.Image == "" {
		return nil, errors.New("Options.Image is missing: name the image to judge")
	}
	contractNow := spec.Current()
	s.version = contractNow.Version
	if o.Contract != "" {
		if s.version, err = spec.ParseVersion(o.Contract); err != nil {
			return nil, fmt.Errorf("Options.Contract: %w", err)
		}
	}
	sh := &shared{options: o, vocab: spec.CurrentVocabulary()}
	s.shared = sh
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if sh.dir, err = os.MkdirTemp("", "conformance-"); err != nil {
		return nil, err
	}
	if sh.engine, err = engine.Connect(ctx, rand.Text()); err != nil {
		return nil, err
	}
	if s.digest, err = sh.engine.ImageID(ctx, o.Image); err != nil {
		return nil, err
	}
	if sh.programs, err = programs(ctx, o.Programs, sh.dir); err != nil {
		return nil, err
	}
	if sh.server, err = s3.Start(ctx, filepath.Join(sh.programs, serverProgram), filepath.Join(sh.dir, "s3")); err != nil {
		return nil, err
	}
	sh.image = sync.OnceValues(func() (*image.Image, error) { return sh.engine.Image(context.WithoutCancel(ctx), o.Image) })
	sh.manifest = sync.OnceValues(func() (*manifest, error) { return readManifest(context.WithoutCancel(ctx), sh.engine, o.Image) })
	if err := s.fromManifest(ctx, &sh.options); err != nil {
		return nil, err
	}
	s.profile = sh.options.Profile
	return s, s.plan(contractNow)
}

// fromManifest fills in what the caller left to the image. A manifest that cannot be read
// leaves the defaults: MAN-001 says what is wrong with it.
func (s *suite) fromManifest(ctx context.Context, o *Options) error {
	m, err := s.shared.manifest()
	if o.Profile == "" {
		o.Profile = "lifecycle"
		if err == nil && m.Contract.Profile != "" {
			o.Profile = m.Contract.Profile
		}
	}
	if o.NoParent {
		o.Parent = ""
		return nil
	}
	if o.Parent == "" && err == nil && m.ParentImage != nil {
		o.Parent = *m.ParentImage
	}
	if o.Parent == "" {
		return nil
	}
	if _, err := s.shared.engine.ImageID(ctx, o.Parent); err != nil {
		return fmt.Errorf("the parent cannot be had, and without it nothing can be said of what the image kept: %w; "+
			"name it in Options.Parent, or set NoParent", err)
	}
	return nil
}

// plan lays out which requirements are judged by which check.
func (s *suite) plan(contractNow *spec.Spec) error {
	o := s.shared.options
	requirements, err := contractNow.For(o.Profile, s.version)
	if err != nil {
		return err
	}
	byID := map[string]*Check{}
	for i := range checks {
		byID[checks[i].ID] = &checks[i]
	}
	for i := range o.Extra {
		requirements = append(requirements, o.Extra[i].Requirement)
		byID[o.Extra[i].Requirement.ID] = &o.Extra[i].Check
	}
	for i, file := range o.Checks {
		r, c, err := executable(i+1, file)
		if err != nil {
			return err
		}
		requirements = append(requirements, r)
		byID[r.ID] = c
	}
	s.schedule = &schedule{tasks: map[string]*task{}, timeout: o.Timeout}
	if s.schedule.timeout == 0 {
		s.schedule.timeout = 2 * time.Minute
	}
	s.schedule.newEnv = func(c *Check) *Env { return &Env{shared: s.shared, id: c.ID} }
	wanted, err := closure(requirements, o.Only)
	if err != nil {
		return err
	}
	for _, r := range requirements {
		t := &task{requirement: r, check: byID[r.ID]}
		switch {
		case slices.Contains(o.Skip, r.ID):
			t.skipped = "the caller skipped it"
		case wanted != nil && !wanted[r.ID]:
			t.skipped = "the caller asked for others only"
		case len(o.Features) > 0 && !slices.ContainsFunc(r.Features, func(f string) bool { return slices.Contains(o.Features, f) }):
			t.skipped = "the caller asked for other features only"
		}
		s.schedule.tasks[r.ID] = t
		s.order = append(s.order, r.ID)
	}
	for _, id := range slices.Concat(o.Only, o.Skip) {
		if s.schedule.tasks[id] == nil {
			return fmt.Errorf("there is no requirement %s in profile %s of contract %s", id, o.Profile, s.version)
		}
	}
	return nil
}

// closure is ids with all that they need; nil when ids is empty.
func closure(requirements []spec.Requirement, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	needs := map[string][]string{}
	for _, r := range requirements {
		needs[r.ID] = r.Needs
	}
	out := map[string]bool{}
	var add func(string)
	add = func(id string) {
		if !out[id] {
			out[id] = true
			for _, need := range needs[id] {
				add(need)
			}
		}
	}
	for _, id := range ids {
		add(id)
	}
	return out, nil
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

// finish collects the results that there are.
func (s *suite) finish() *Report {
	o := s.shared.options
	r := &Report{
		Image: o.Image, Digest: s.digest, Parent: o.Parent, Contract: s.version.String(), Profile: s.profile,
		Suite: version(), Engine: s.shared.engine.Is, Started: s.started, Took: time.Since(s.started),
	}
	for _, id := range s.order {
		t := s.schedule.tasks[id]
		t.once.Do(func() { // filtered out by the test runner
			t.result = Result{Requirement: t.requirement, ID: id, Level: t.requirement.Level, Text: t.requirement.Text, Status: Skipped, Reason: "not selected"}
		})
		r.Results = append(r.Results, t.result)
	}
	r.Verdict = verdict(r.Results)
	return r
}

func (s *suite) close() error {
	var errs []error
	if s.shared.engine != nil {
		errs = append(errs, s.shared.engine.Sweep(context.Background()), s.shared.engine.Close())
	}
	s.shared.stopServices()
	if s.shared.server != nil {
		errs = append(errs, s.shared.server.Close())
	}
	if s.shared.dir != "" {
		errs = append(errs, os.RemoveAll(s.shared.dir))
	}
	return errors.Join(errs...)
}

// The suite's own programs: the S3 server, and the probe that is mounted into sandboxes.
const (
	serverProgram = "sandbox-conformance"
	probeProgram  = "sandbox-conformance-probe"
)

// programs finds the suite's own programs. An importer's test builds them from the module
// that it imports, so that all are of one version.
func programs(ctx context.Context, given, dir string) (string, error) {
	if given != "" {
		for _, name := range []string{serverProgram, probeProgram} {
			if _, err := os.Stat(filepath.Join(given, name)); err != nil {
				return "", fmt.Errorf("the suite's programs are not all in %s: %w; install them together", given, err)
			}
		}
		return filepath.Abs(given)
	}
	const module = "github.com/matrx/sandbox/conformance/cmd/"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir, module+serverProgram, module+probeProgram)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the suite's programs: %w\n%s", err, strings.TrimSpace(string(text)))
	}
	return dir, nil
}

// version is the module's, or the commit's.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == "github.com/matrx/sandbox/conformance" && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "devel"
}
