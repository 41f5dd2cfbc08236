//go:build stores

package stores

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// built is the program of a server that is a Go module, built once for each version. It is built in its
// module, where the module cache has that: go install refuses a module that replaces others, as SeaweedFS
// does, and takes no notice of its go.sum.
func built(t *testing.T, s Server) string {
	t.Helper()
	program := filepath.Join(testbed.Root(), ".cache/bin", filepath.Base(s.Module))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	t.Logf("building %s", s.Module)
	download := goCommand("mod", "download", "-json", s.Module)
	download.Dir = t.TempDir() // a module of its own
	var module struct{ Dir, Error string }
	if err := json.Unmarshal(said(t, download), &module); err != nil || module.Error != "" {
		t.Fatalf("cannot fetch %s: %v %s", s.Module, err, module.Error)
	}
	build := goCommand("build", "-o", program+".new", s.Package)
	build.Dir = module.Dir
	said(t, build)
	must(t, os.Rename(program+".new", program))
	return program
}

func goCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}

// said runs a command to its end and gives what it prints.
func said(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out.String(), errs.String())
	}
	return out.Bytes()
}
