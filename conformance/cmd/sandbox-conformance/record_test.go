package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
	"github.com/matrx/sandbox/contract/verdict"
)

func TestWhatIsRecorded(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir, err := verdict.Dir()
	require.NoError(t, err)
	digest := func(c string) string {
		s := "sha256:"
		for range 64 {
			s += c
		}
		return s
	}
	result := func(level spec.Level, status conformance.Status) conformance.Result {
		return conformance.Result{ID: "X-001", Level: level, Status: status}
	}
	for _, tc := range []struct {
		name    string
		digest  string
		cli     cli
		verdict conformance.Verdict
		results []conformance.Result
		want    bool
	}{
		{"a whole run", digest("1"), cli{}, conformance.Conformant, []conformance.Result{result(spec.Must, conformance.Pass)}, true},
		{"a whole run that failed", digest("2"), cli{}, conformance.NotConformant, []conformance.Result{result(spec.Must, conformance.Failed)}, true},
		{"a part", digest("3"), cli{Only: []string{"X-001"}}, conformance.Conformant, []conformance.Result{result(spec.Must, conformance.Pass)}, false},
		{"a part without another", digest("4"), cli{Skip: []string{"X-002"}}, conformance.Partial, []conformance.Result{result(spec.Must, conformance.Pass)}, false},
		{"an older contract", digest("5"), cli{Contract: "1.0"}, conformance.Conformant, []conformance.Result{result(spec.Must, conformance.Pass)}, false},
		{"a part that failed", digest("6"), cli{Feature: []string{"x"}}, conformance.NotConformant, []conformance.Result{result(spec.Must, conformance.Failed)}, true},
		{"a part in which the suite failed", digest("7"), cli{Feature: []string{"x"}}, conformance.NotConformant, []conformance.Result{result(spec.Must, conformance.Error)}, false},
		{"a part in which a SHOULD failed", digest("8"), cli{Feature: []string{"x"}}, conformance.Partial, []conformance.Result{result(spec.Should, conformance.Failed)}, false},
	} {
		tc.cli.record(&conformance.Report{Digest: tc.digest, Image: tc.name, Verdict: tc.verdict, Results: tc.results})
		r, err := verdict.Find(dir, tc.digest)
		if (err == nil) != tc.want {
			t.Errorf("%s: recorded %v, want %v (%v)", tc.name, err == nil, tc.want, err)
		}
		if err == nil && (r.Verdict != string(tc.verdict) || len(r.Failed) > 0 && !slices.Equal(r.Failed, []string{"X-001"})) {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}
