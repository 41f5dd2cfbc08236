// Package outsider proves that another repository can use the suite: it takes
// examples/variant-repo out of this one, serves this commit's modules from a file
// GOPROXY, as an outsider would get them, and runs that repository's own two commands.
package outsider

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// version is the one that go.mod files of this repository require of each other.
const version = "v0.0.0"

// modules are those of this repository, and their folders.
var modules = map[string]string{
	"github.com/matrx/sandbox":             ".",
	"github.com/matrx/sandbox/conformance": "conformance",
	"github.com/matrx/sandbox/contract":    "contract",
}

func TestVariantRepository(t *testing.T) {
	if out, err := exec.Command("docker", "image", "inspect", "matrx-sandbox:latest").CombinedOutput(); err != nil {
		t.Fatalf("there is no image matrx-sandbox:latest (%v): run make core\n%s", err, out)
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	proxy := t.TempDir()
	for path, dir := range modules {
		publish(t, proxy, path, filepath.Join(root, dir))
	}

	repo := filepath.Join(t.TempDir(), "variant-repo")
	require.NoError(t, os.CopyFS(repo, os.DirFS(filepath.Join(root, "examples/variant-repo"))))
	// os.CopyFS keeps modes; what an outsider does first is what go.mod lacks: its sums.
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GONOSUMDB=github.com/matrx/*",
		"GOPROXY=file://"+proxy+","+goEnv(t, "GOPROXY"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "DOCKER_BUILDKIT=1",
		// The go command takes a version of a module for the same for ever, and remembers which files
		// it has and what they import (cmd/go/internal/modindex). Here it is this commit's.
		"GODEBUG=goindex=0")
	t.Cleanup(func() { forget(t) })
	forget(t)
	run(t, repo, env, "go", "mod", "tidy")
	run(t, repo, env, "docker", "build", "-q", "-t", "frame-sandbox", ".")
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", "frame-sandbox").Run() })
	out := run(t, repo, env, "go", "test", "-v", "-count=1", "-parallel=4", "-timeout=10m", "./...")
	for _, want := range []string{"--- PASS: TestImage/contract/HOT-003", "--- PASS: TestImage/contract/VAR-001", "--- PASS: TestImage/contract/OWN-001"} {
		if !strings.Contains(out, want) {
			t.Errorf("the outsider's test does not say %q", want)
		}
	}
}

// publish lays a module out as the GOPROXY protocol has it (go.dev/ref/mod#goproxy-protocol).
func publish(t *testing.T, proxy, path, dir string) {
	t.Helper()
	at := filepath.Join(proxy, path, "@v")
	require.NoError(t, os.MkdirAll(at, 0o755))
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(0, 0).UTC()})
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	for name, content := range map[string][]byte{version + ".info": info, version + ".mod": mod, "list": []byte(version + "\n")} {
		require.NoError(t, os.WriteFile(filepath.Join(at, name), content, 0o644))
	}
	f, err := os.Create(filepath.Join(at, version+".zip"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, zip.Create(f, module.Version{Path: path, Version: version}, tracked(t, dir)))
}

// tracked are the module's files that git knows or would add: no binaries, no caches; a
// nested module is one of its own.
func tracked(t *testing.T, dir string) []zip.File {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	cmd.Dir = dir
	out, err := cmd.Output()
	require.NoError(t, err, "git ls-files")
	var files []zip.File
	for _, name := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || nested(dir, name) {
			continue
		}
		files = append(files, file{dir, name})
	}
	return files
}

// nested says whether a file belongs to a module below dir.
func nested(dir, name string) bool {
	for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(dir, d, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// forget removes this version from the module cache, where an earlier commit's may lie.
func forget(t *testing.T) {
	t.Helper()
	cache := goEnv(t, "GOMODCACHE")
	var paths []string
	for path := range modules {
		paths = append(paths, path+"@"+version, filepath.Join("cache/download", path, "@v"))
	}
	for _, path := range paths {
		dir := filepath.Join(cache, path)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		// The cache is read-only (go help modcache).
		if out, err := exec.Command("chmod", "-R", "u+w", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		require.NoError(t, os.RemoveAll(dir))
	}
}

func run(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	fmt.Printf("%s\n", out)
	return string(out)
}
