package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
)

func sample() *conformance.Report {
	return &conformance.Report{
		Verdict: conformance.NotConformant, Image: "example:1", Digest: "sha256:abc", Contract: "1.0.0", Profile: "core", Suite: "devel",
		Engine: "Docker 28", Started: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Took: 61 * time.Second,
		Results: []conformance.Result{
			{ID: "A-001", Level: spec.Must, Text: "`a` is there.", Status: conformance.Pass, Took: time.Second, Evidence: []string{"a 1.2"}},
			{ID: "A-002", Level: spec.Must, Text: "b", Status: conformance.Failed, Reason: "b is <gone>", Remedy: "install b", Evidence: []string{"nothing"}},
			{ID: "A-003", Level: spec.Should, Text: "c", Status: conformance.Failed, Reason: "c is old"},
			{ID: "B-001", Level: spec.Must, Text: "d", Status: conformance.Error, Reason: "the engine died"},
			{ID: "B-002", Level: spec.Must, Text: "e", Status: conformance.NotRun, Reason: "it needs A-002"},
		},
	}
}

func TestTextEndsWithTheVerdict(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Text(&b, sample(), false))
	out := b.String()
	for _, want := range []string{"A-002 (MUST, fail): b is <gone>", "remedy: install b", "seen: nothing", "B-002 (MUST, not run)",
		"example:1 is not conformant with contract 1.0.0, profile core: 1 pass, 2 fail, 1 error, 1 not run, in 1m1s\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where none were asked for")
	}
	b.Reset()
	if err := Text(&b, sample(), true); err != nil || !strings.Contains(b.String(), "\x1b[31m") {
		t.Errorf("no colours where they were asked for (%v)", err)
	}
}

func TestJUnitCountsOnlyMustsAsFailures(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, JUnit(&b, sample()))
	var got struct {
		Tests, Failures, Errors, Skipped int
		Cases                            []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
		} `xml:"testcase"`
		T int `xml:"tests,attr"`
		F int `xml:"failures,attr"`
		E int `xml:"errors,attr"`
		S int `xml:"skipped,attr"`
	}
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got))
	if got.T != 5 || got.F != 1 || got.E != 1 || got.S != 2 {
		t.Errorf("tests %d, failures %d, errors %d, skipped %d; want 5, 1, 1, 2", got.T, got.F, got.E, got.S)
	}
	if got.Cases[1].Failure == nil || got.Cases[2].Failure != nil {
		t.Error("A-002 must be a failure, A-003, a SHOULD, must not")
	}
}

func TestHTMLIsWholeAndEscaped(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, HTML(&b, sample()))
	page := b.String()
	for _, want := range []string{"<code>a</code> is there.", "b is &lt;gone&gt;", `id="A-002" open`, "not conformant", "sha256:abc", "a 1.2"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, external := range []string{"http://", "https://", "<script", "@import", "url("} {
		if strings.Contains(page, external) {
			t.Errorf("the page is not self-contained: %q", external)
		}
	}
}

func TestDirWritesAllThree(t *testing.T) {
	dir := t.TempDir() + "/new"
	require.NoError(t, Dir(dir, sample()))
	var b bytes.Buffer
	require.NoError(t, JSON(&b, sample()))
	var back conformance.Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Verdict != conformance.NotConformant || len(back.Results) != 5 {
		t.Errorf("the report does not survive JSON: %v %+v", err, back)
	}
	if err := Dir("/proc/none/such", sample()); err == nil {
		t.Error("a directory that cannot be made is no error")
	}
}
