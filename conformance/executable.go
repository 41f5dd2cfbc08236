package conformance

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/matrx/sandbox/conformance/service"
	"github.com/matrx/sandbox/contract/spec"
)

// exitUnsupported is what a check executable ends with when the image is excused.
const exitUnsupported = 77

// ChecksIn lists a directory's executables for Options.Checks, by name. Directories in it
// are left out: they are what the executables read.
func ChecksIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("cannot list the checks: %w", err)
	}
	var out []string
	for _, e := range entries {
		if file := filepath.Join(dir, e.Name()); !e.IsDir() {
			out = append(out, file)
		}
	}
	return out, nil
}

// executable makes a requirement and a check of an image's own executable. It runs as
// the agent in a sandbox that is ready, with its directory beside it. Its name is its
// text: 10-transcodes-h264 is "transcodes h264".
func executable(number int, file string) (spec.Requirement, *Check, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return spec.Requirement{}, nil, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return spec.Requirement{}, nil, fmt.Errorf("cannot use the check %s: %w", file, err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return spec.Requirement{}, nil, fmt.Errorf("cannot use the check %s: it is not executable; chmod +x, or put what checks read into a directory below", file)
	}
	services, err := servicesOf(abs)
	if err != nil {
		return spec.Requirement{}, nil, err
	}
	name := filepath.Base(abs)
	r := spec.Requirement{
		ID: fmt.Sprintf("OWN-%03d", number), Level: spec.Must, Profile: "image", Features: []string{"image"},
		Text: strings.ReplaceAll(strings.TrimLeft(strings.TrimSuffix(name, filepath.Ext(name)), "0123456789-_"), "-", " "),
		Why:  "The image's own check " + name + ".",
	}
	return r, &Check{ID: r.ID, Run: func(ctx context.Context, e *Env) error { return runExecutable(ctx, e, abs, services) }}, nil
}

// servicesOf reads the lines "# service: NAME" at the top of a script.
func servicesOf(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	sc := bufio.NewScanner(f)
	for sc.Scan() && strings.HasPrefix(sc.Text(), "#") {
		if name, ok := strings.CutPrefix(sc.Text(), "# service:"); ok {
			name = strings.TrimSpace(name)
			if !slices.Contains(service.Names(), name) {
				return nil, fmt.Errorf("cannot use the check %s: there is no service %q; there are %q", file, name, service.Names())
			}
			out = append(out, name)
		}
	}
	return out, nil // a binary has no such lines, and need not be text
}

func runExecutable(ctx context.Context, e *Env, file string, wanted []string) error {
	dir := filepath.Dir(file)
	s, err := e.Create(ctx, Start{Binds: []string{dir + ":/.conformance-checks:ro"}, Tmpfs: map[string]string{"/dev/shm": "size=1g,mode=1777"}, Services: wanted})
	if err != nil {
		return err
	}
	if err := s.Container.Start(ctx); err != nil {
		return err
	}
	if err := s.WaitReady(ctx); err != nil {
		return err
	}
	code, stdout, stderr, err := s.ExecStreams(ctx, "1000", "/.conformance-checks/"+filepath.Base(file))
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(stderr)
	if reason == "" {
		reason = strings.TrimSpace(stdout)
	}
	switch code {
	case 0:
		return nil
	case exitUnsupported:
		return Unsupported("%s", reason)
	default:
		return Failf("%s ended with %d: %s", filepath.Base(file), code, reason)
	}
}
