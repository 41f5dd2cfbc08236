package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance"
)

// A reason that keeps the suite from judging is exit code 3 with a remedy, never a verdict.
func TestWhatCannotBeJudgedIsAnError(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		sub := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(sub, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(sub, "10-check"), []byte(text), mode))
		return sub
	}
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"no engine", []string{"DOCKER_HOST=unix:///nowhere/docker.sock"}, []string{base}, []string{"no Docker engine answers", "systemctl start docker"}},
		{"no image", nil, []string{"matrx-sandbox-none:latest"}, []string{"no image matrx-sandbox-none:latest", "build or pull it"}},
		{"no argument", nil, nil, []string{"<image>"}},
		{"an unknown flag", nil, []string{base, "--verbos"}, []string{"unknown flag --verbos"}},
		{"a parent that is not there", nil, []string{base, "--parent=matrx-sandbox-none:latest"}, []string{"the parent is not available", "--no-parent"}},
		{"an unknown profile", nil, []string{base, "--profile=cor"}, []string{`no profile "cor"`, `"core"`}},
		{"an unknown requirement", nil, []string{base, "--only=HOT-999"}, []string{"no requirement HOT-999"}},
		{"an unknown requirement to skip", nil, []string{base, "--skip=HOT-999"}, []string{"no requirement HOT-999"}},
		{"an unknown feature", nil, []string{base, "--feature=hott"}, []string{`"hott"`, `"hot"`}},
		{"no contract version", nil, []string{base, "--contract=newest"}, []string{"newest", "1.0.0"}},
		{"a contract that this suite does not know", nil, []string{base, "-contract=1.9"}, []string{"this suite proves contract 1.0 to", "not 1.9", "newer|as new as"}},
		{"a contract before the first", nil, []string{base, "--contract=0.9"}, []string{"not 0.9"}},
		{"a number of checks that cannot be", nil, []string{base, "--parallel=-1"}, []string{"-1"}},
		{"no directory of checks", nil, []string{base, "--checks=" + dir + "/none"}, []string{dir + "/none"}},
		{"a check that is not executable", nil, []string{base, "--checks=" + write("mode", "#!/bin/sh\n", 0o644)}, []string{"not executable", "chmod +x"}},
		{"an unknown service", nil, []string{base, "--checks=" + write("service", "#!/bin/sh\n# service: oracle\n", 0o755)}, []string{`no service "oracle"`, "postgres"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := suite(t, tc.env, tc.args...)
			if code != 3 {
				t.Errorf("the exit code is %d, want 3\n%s%s", code, stdout, stderr)
			}
			for _, want := range tc.want {
				if !containsOneOf(stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stdout, "conformant") {
				t.Errorf("it gives a verdict:\n%s", stdout)
			}
		})
	}
}

// containsOneOf looks for words that "|" separates.
func containsOneOf(text, words string) bool {
	for word := range strings.SplitSeq(words, "|") {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// A MUST that was not run is never conformant, and the program says so.
func TestASkippedMustIsPartial(t *testing.T) {
	code, out, stderr := suite(t, nil, base, "-contract=1.0", "--only=ENTRY-003", "--skip=PATH-001", "--json")
	if code != 2 {
		t.Errorf("the exit code is %d, want 2\n%s", code, stderr)
	}
	var r conformance.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	if r.Verdict != conformance.Partial || r.Contract != "1.0" || r.Count(conformance.Pass) != 1 {
		t.Errorf("the verdict is %s, the contract %s, with %d passed", r.Verdict, r.Contract, r.Count(conformance.Pass))
	}
}
