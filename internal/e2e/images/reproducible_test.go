package images

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// maxInitSize is what sandbox-init may have, in bytes: every image carries it.
const maxInitSize = 25e6

// The same source gives the same bytes: in another folder, with another build cache,
// by another user's settings. A published sandbox-init is checked by building it again.
func TestInitIsReproducible(t *testing.T) {
	first := buildInit(t, "first", nil)
	// A cache of its own, so that nothing is taken over from the first build.
	second := buildInit(t, "a folder with another name", []string{
		"GOCACHE=" + t.TempDir(), "GOFLAGS=-trimpath=false -buildvcs=true", "GOAMD64=v3", "CGO_ENABLED=1", "TZ=Asia/Tokyo", "USER=somebody",
	})
	if !bytes.Equal(first, second) {
		t.Errorf("two builds of the same source differ (%d and %d bytes)", len(first), len(second))
	}
	if len(first) > maxInitSize {
		t.Errorf("sandbox-init has %d bytes, at most %d are allowed", len(first), int(maxInitSize))
	}

	file, err := elf.NewFile(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("sandbox-init is not static: it names an interpreter")
		}
	}
	if wd, err := filepath.Abs(harness.Repository); err != nil || bytes.Contains(first, []byte(wd)) {
		t.Errorf("sandbox-init carries the path %s (%v)", wd, err)
	}
}

// buildInit copies the source to a new folder and builds sandbox-init there as `make
// build` does. env is added to the environment.
func buildInit(t *testing.T, folder string, env []string) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), folder)
	for _, tree := range []string{"cmd", "internal", "contract"} {
		if err := os.CopyFS(filepath.Join(dir, tree), os.DirFS(filepath.Join(harness.Repository, tree))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Makefile", "go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(harness.Repository, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "make", "bin/linux-amd64", "PROGRAMS=./cmd/sandbox-init")
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		// This test is itself run by make, whose variables are not meant for that one.
		if !strings.HasPrefix(kv, "MAKE") && !strings.HasPrefix(kv, "MFLAGS") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make in %s: %v\n%s", dir, err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "bin/linux-amd64/sandbox-init"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
