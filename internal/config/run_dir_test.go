package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/contract"
)

func TestRunDir(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "sandbox.conf")
	if err := os.WriteFile(conf, []byte("NOT_A_VARIABLE=1\nSANDBOX_RUN_DIR=/from/file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		environ []string
		conf    string
		want    string
	}{
		{"default", nil, "/does/not/exist", contract.DefaultRunDir},
		{"file", nil, conf, "/from/file"},
		{"environment over file", []string{"SANDBOX_RUN_DIR=/from/env/"}, conf, "/from/env"},
		{"the last counts", []string{"SANDBOX_RUN_DIR=/a", "SANDBOX_RUN_DIR=/b"}, conf, "/b"},
		{"relative", []string{"SANDBOX_RUN_DIR=run"}, "/does/not/exist", contract.DefaultRunDir},
	} {
		if got := RunDir(test.environ, test.conf); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
