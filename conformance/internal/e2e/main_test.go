// Package e2e proves the suite's own program where an engine is needed: what it leaves
// behind, what it says of wrong options, and how it runs an image's own checks.
package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The family's images, which `make core` builds.
const (
	base = "matrx-sandbox-base:latest"
	core = "matrx-sandbox:latest"
)

// program is sandbox-conformance, with its probe beside it.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, ref := range []string{base, core} {
		if out, err := exec.Command("docker", "image", "inspect", ref).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "there is no image %s (%v): run make core\n%s\n", ref, err, out)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "suite-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// What these tests have judged is not to be remembered of the images.
	os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	build := exec.Command("go", "build", "-o", dir, "github.com/matrx/sandbox/conformance/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the suite's programs: %v\n%s\n", err, out)
		return 1
	}
	program = filepath.Join(dir, "sandbox-conformance")
	return m.Run()
}

// suite runs the program to its end.
func suite(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, append(os.Environ(), env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
