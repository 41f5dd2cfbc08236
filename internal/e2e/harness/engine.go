package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// Repository is the root of this checkout.
var Repository = testbed.Root()

// Result is how a program ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// String is for the messages of tests.
func (r Result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.Code, r.Stdout, r.Stderr)
}

// patience bounds one docker command: what takes longer hangs.
const patience = 5 * time.Minute

// Engine runs the docker program. An exit code is a result; that docker itself cannot
// be run, or does not come to an end, is fatal.
func Engine(t *testing.T, stdin io.Reader, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("docker %s hangs: %v\n%s%s", strings.Join(args, " "), ctx.Err(), out.String(), errOut.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("cannot run docker: %v; run make engine", err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// EngineOK is engine for what must succeed; it returns standard output.
func EngineOK(t *testing.T, args ...string) string {
	t.Helper()
	r := Engine(t, nil, args...)
	if r.Code != 0 {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.Stdout)
}

// InImage runs a program in a new container of the image, in the place of
// sandbox-init, whose log would stand in the output.
func InImage(t *testing.T, ref string, options []string, program ...string) Result {
	t.Helper()
	args := append([]string{"run", "--rm", "--entrypoint", program[0]}, options...)
	return Engine(t, nil, append(append(args, ref), program[1:]...)...)
}

// Idle starts an idle sandbox of the image and stops it at the test's end.
func Idle(t *testing.T, ref string, options ...string) string {
	t.Helper()
	id := EngineOK(t, append(append([]string{"run", "--detach"}, options...), ref)...)
	t.Cleanup(func() { Afterwards(t, "rm", "--force", "--volumes", id) })
	return id
}

// Ready returns when the sandbox has said that it is.
func Ready(t *testing.T, id string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	logs := exec.CommandContext(ctx, "docker", "logs", "--follow", id)
	out, err := logs.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := logs.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if seen = append(seen, lines.Text()); strings.Contains(lines.Text(), `"event":"ready"`) {
			stop()
			_ = logs.Wait() // killed by stop
			return
		}
	}
	t.Fatalf("the sandbox ended, or hangs, before it was ready:\n%s", strings.Join(seen, "\n"))
}

// Afterwards runs the docker program in a cleanup, when the test's context has ended.
func Afterwards(t *testing.T, args ...string) {
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		t.Errorf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// ImageConfig is what `docker image inspect` says that these tests read.
type ImageConfig struct {
	Size   int64
	Config struct {
		User        string
		Entrypoint  []string
		Cmd         []string
		Env         []string
		StopSignal  string
		Labels      map[string]string
		Volumes     map[string]struct{}
		Healthcheck struct {
			Test []string
		}
	}
	RootFS struct {
		Layers []string
	}
}

// Inspect fails the test when there is no such image.
func Inspect(t *testing.T, ref string) ImageConfig {
	t.Helper()
	r := Engine(t, nil, "image", "inspect", ref)
	if r.Code != 0 {
		t.Fatalf("there is no image %s (%s); run make images", ref, strings.TrimSpace(r.Stderr))
	}
	var all []ImageConfig
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil || len(all) != 1 {
		t.Fatalf("docker image inspect %s: %v: %s", ref, err, r.Stdout)
	}
	return all[0]
}
