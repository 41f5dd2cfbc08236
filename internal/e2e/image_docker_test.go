package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/catalog"
)

// repository is the root of this checkout, as seen from the tests' directory.
const repository = "../.."

// imagesUnderTest are the images that `make images` leaves.
var imagesUnderTest = []string{"base", "core"}

// The restrictions under which an agent's container runs: no capabilities, no way to
// gain any, no network.
var restricted = []string{"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"}

func eachImage(t *testing.T, test func(t *testing.T, name, ref string)) {
	for _, name := range imagesUnderTest {
		t.Run(name, func(t *testing.T) { test(t, name, catalog.Reference("", name, "")) })
	}
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
}

// patience bounds one docker command: what takes longer hangs.
const patience = 5 * time.Minute

// engine runs the docker program. An exit code is a result; that docker itself cannot
// be run, or does not come to an end, is fatal.
func engine(t *testing.T, stdin io.Reader, args ...string) result {
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
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// engineOK is engine for what must succeed; it returns standard output.
func engineOK(t *testing.T, args ...string) string {
	t.Helper()
	r := engine(t, nil, args...)
	if r.code != 0 {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.stdout)
}

// inImage runs a program in a new container of the image, in the place of
// sandbox-init, whose log would stand in the output.
func inImage(t *testing.T, ref string, options []string, program ...string) result {
	t.Helper()
	args := append([]string{"run", "--rm", "--entrypoint", program[0]}, options...)
	return engine(t, nil, append(append(args, ref), program[1:]...)...)
}

// idle starts an idle sandbox of the image and stops it at the test's end.
func idle(t *testing.T, ref string, options ...string) string {
	t.Helper()
	id := engineOK(t, append(append([]string{"run", "--detach"}, options...), ref)...)
	t.Cleanup(func() { afterwards(t, "rm", "--force", "--volumes", id) })
	return id
}

// ready returns when the sandbox has said that it is.
func ready(t *testing.T, id string) {
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

// afterwards runs the docker program in a cleanup, when the test's context has ended.
func afterwards(t *testing.T, args ...string) {
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		t.Errorf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// imageConfig is what `docker image inspect` says that these tests read.
type imageConfig struct {
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

func inspect(t *testing.T, ref string) imageConfig {
	t.Helper()
	r := engine(t, nil, "image", "inspect", ref)
	if r.code != 0 {
		t.Fatalf("there is no image %s (%s); run make images", ref, strings.TrimSpace(r.stderr))
	}
	var all []imageConfig
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all) != 1 {
		t.Fatalf("docker image inspect %s: %v: %s", ref, err, r.stdout)
	}
	return all[0]
}

// layerFile is one entry of one layer.
type layerFile struct {
	*tar.Header
	layer int // 0 is the lowest
}

// walkLayers calls visit for every entry of every layer, those that a higher layer
// hides included, the lowest layer first.
func walkLayers(t *testing.T, ref string, visit func(layerFile)) {
	t.Helper()
	file := path.Join(t.TempDir(), "image.tar")
	engineOK(t, "save", "--output", file, ref)

	// The archive's own order is not that of the layers.
	for layer, layerName := range layerOrder(t, file) {
		eachEntry(t, file, func(h *tar.Header, r io.Reader) {
			if h.Name != layerName || h.Typeflag != tar.TypeReg {
				return
			}
			in := tar.NewReader(r)
			for {
				h, err := in.Next()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatalf("cannot read layer %d of %s: %v", layer, ref, err)
				}
				visit(layerFile{h, layer})
			}
		})
	}
}

// overlay lays one entry over those of the layers below it: it replaces what has its
// name, and a whiteout hides what is there (OCI image specification, "Whiteouts").
func overlay(files map[string]layerFile, f layerFile) {
	name := path.Clean("/" + f.Name)
	hidden, opaque := "", false
	if base := path.Base(name); base == ".wh..wh..opq" {
		hidden, opaque = path.Dir(name), true
	} else if rest, ok := strings.CutPrefix(base, ".wh."); ok {
		hidden = path.Join(path.Dir(name), rest)
	}
	if hidden == "" {
		files[name] = f
		return
	}
	for other, o := range files {
		below := strings.HasPrefix(other, hidden+"/") && o.layer < f.layer
		if below || (other == hidden && !opaque) {
			delete(files, other)
		}
	}
}

// layerOrder reads the names of an archive's layers from its manifest.json (Docker
// image specification 1.2).
func layerOrder(t *testing.T, file string) (layers []string) {
	t.Helper()
	eachEntry(t, file, func(h *tar.Header, r io.Reader) {
		if h.Name != "manifest.json" {
			return
		}
		var images []struct{ Layers []string }
		if err := json.NewDecoder(r).Decode(&images); err != nil || len(images) != 1 {
			t.Fatalf("manifest.json of a saved image: %d images, %v", len(images), err)
		}
		layers = images[0].Layers
	})
	if len(layers) == 0 {
		t.Fatal("a saved image has no layers")
	}
	return layers
}

func eachEntry(t *testing.T, file string, visit func(*tar.Header, io.Reader)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := tar.NewReader(f)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("cannot read %s: %v", file, err)
		}
		visit(h, in)
	}
}
