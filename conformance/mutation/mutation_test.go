// Package mutation proves the suite by its mutants: it builds each, runs the suite on it, and
// holds the failures equal to what the mutant breaks. That takes minutes; `make mutants`.
package mutation

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/conformance/mutants"
	"github.com/matrx/sandbox/contract/spec"
)

// TestMutants builds each mutant and holds what the suite finds equal to what it breaks.
func TestMutants(t *testing.T) {
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Fatalf("no Docker engine answers (%v); run scripts/ensure-engine.sh\n%s", err, out)
	}
	for name, ref := range mutants.Images {
		// By names of their own, so that a build meanwhile changes no parent of a mutant.
		own := "matrx-sandbox-mutant:of-" + name
		if out, err := exec.Command("docker", "tag", ref, own).CombinedOutput(); err != nil {
			t.Fatalf("there is no image %s: run make core\n%s", ref, out)
		}
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", own).Run() })
		mutants.Images[name] = own
	}
	faultyinit, err := mutants.Faultyinit()
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(faultyinit)) })
	programs := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", programs, "github.com/matrx/sandbox/conformance/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the suite's programs: %v\n%s", err, out)
	}
	t.Run("each", func(t *testing.T) {
		for i, m := range mutants.All {
			name := fmt.Sprintf("%02d-%s", i, strings.ToLower(m.Breaks))
			t.Run(name+" "+m.Is, func(t *testing.T) {
				t.Parallel()
				judge(t, m, name, faultyinit, programs)
			})
		}
	})
}

func judge(t *testing.T, m mutants.Mutant, name, faultyinit, programs string) {
	built, err := m.Build(t.Context(), name, faultyinit)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := built.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	report, err := conformance.Execute(t.Context(), conformance.Options{
		Image: built.Image, Parent: built.Parent, NoParent: built.Parent == "", Programs: programs, Parallel: 2,
		Timeout: timeout(m),
		Only:    judged(m), Profile: profile(m),
	})
	require.NoError(t, err)
	want := slices.Sorted(slices.Values(append([]string{m.Breaks}, m.Also...)))
	var got []string
	for _, r := range report.Results {
		if r.Level == spec.Must && (r.Status == conformance.Failed || r.Status == conformance.Error) {
			got = append(got, r.ID)
			t.Logf("%s %s: %s", r.ID, r.Status, r.Reason)
			if r.Status == conformance.Error {
				t.Errorf("%s could not be judged", r.ID)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the suite finds %q broken, want %q", got, want)
	}
	if report.Verdict != conformance.NotConformant {
		t.Errorf("the verdict is %s", report.Verdict)
	}
}

// timeout is short where the image is small: what never happens in a mutant is waited for
// that long.
func timeout(m mutants.Mutant) time.Duration {
	if m.From == "core" {
		return 3 * time.Minute
	}
	return time.Minute
}

// judged are the requirements of a mutant's family and the static ones. The static ones of
// a mutant of core are left to those of base, which have the same: reading a gigabyte for
// each mutant would take most of the time.
func judged(m mutants.Mutant) []string {
	if m.From == "core" {
		return family(m)
	}
	return append(conformance.StaticIDs(), family(m)...)
}

// family are the requirements of the family that a mutant breaks.
func family(m mutants.Mutant) []string {
	broken, _ := spec.Current().Requirement(m.Breaks)
	var out []string
	for _, r := range spec.Current().Requirements {
		if r.Family() == broken.Family() && (profile(m) == "core" || r.Profile != "core") {
			out = append(out, r.ID)
		}
	}
	return out
}

func profile(m mutants.Mutant) string {
	if m.From == "core" {
		return "core"
	}
	return "lifecycle"
}
