//go:build stores

package stores

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestStores runs the suite against the servers that STORES names.
func TestStores(t *testing.T) {
	names := strings.Fields(os.Getenv("STORES"))
	if len(names) == 0 {
		t.Fatal("STORES names no server of expect.go")
	}
	for _, s := range allServers() {
		if !slices.Contains(names, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			w := &world{store: start(t, s), init: program(t)}
			w.bucket = w.store.bucket(t)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					want := s.expected(c.name)
					if got := c.run(w, t); got != want {
						t.Errorf("%s, expected: %s", got, want)
					}
				})
			}
		})
	}
}

// program is sandbox-init where the agent may execute it.
func program(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(testbed.Binary(t, "cmd/sandbox-init"))
	must(t, err)
	path := filepath.Join(open(t), "sandbox-init")
	must(t, os.WriteFile(path, b, 0o755))
	return path
}

// open is a directory of the test that the agent may enter: t.TempDir's own parent is root's alone.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}
