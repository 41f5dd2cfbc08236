package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

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
