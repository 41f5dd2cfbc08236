// Package report writes a conformance report for people and for programs.
package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
)

// Dir writes report.json, junit.xml and index.html into dir, which is made when missing.
func Dir(dir string, r *conformance.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	for name, write := range map[string]func(io.Writer, *conformance.Report) error{
		"report.json": JSON, "junit.xml": JUnit, "index.html": HTML,
	} {
		if err := writeFile(filepath.Join(dir, name), r, write); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	return nil
}

func writeFile(name string, r *conformance.Report, write func(io.Writer, *conformance.Report) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// JSON writes the report as it is.
func JSON(w io.Writer, r *conformance.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the report for a terminal: failures last, each with its reason and remedy,
// so that they are what one sees. Colours only when asked for.
func Text(w io.Writer, r *conformance.Report, colour bool) error {
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	marks := map[conformance.Status]string{
		conformance.Pass: paint("32", "pass       "), conformance.Failed: paint("31", "FAIL       "), conformance.Error: paint("31", "ERROR      "),
		conformance.NotSupported: paint("2", "unsupported"), conformance.Skipped: paint("33", "skipped    "), conformance.NotRun: paint("33", "not run    "),
	}
	var b strings.Builder
	family := ""
	for _, result := range r.Results {
		if f, _, _ := strings.Cut(result.ID, "-"); f != family {
			family = f
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  %s %-10s %6.1fs  %s\n", marks[result.Status], result.ID, result.Took.Seconds(), result.Text)
	}
	for _, result := range r.Results {
		if result.Status == conformance.Pass {
			continue
		}
		fmt.Fprintf(&b, "\n  %s (%s, %s): %s\n", paint("1", result.ID), result.Level, result.Status, indent(result.Reason))
		if result.Remedy != "" {
			fmt.Fprintf(&b, "    remedy: %s\n", indent(result.Remedy))
		}
		if result.Status == conformance.Failed || result.Status == conformance.Error {
			for _, e := range result.Evidence {
				fmt.Fprintf(&b, "    seen: %s\n", indent(e))
			}
		}
	}
	colourOf := map[conformance.Verdict]string{conformance.Conformant: "32;1", conformance.Partial: "33;1", conformance.NotConformant: "31;1"}
	fmt.Fprintf(&b, "\n%s is %s with contract %s, profile %s: %s, in %s\n", r.Image, paint(colourOf[r.Verdict], string(r.Verdict)), r.Contract, r.Profile,
		counts(r), r.Took.Round(time.Second/10))
	_, err := io.WriteString(w, b.String())
	return err
}

func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ") }

func counts(r *conformance.Report) string {
	var parts []string
	for _, s := range []conformance.Status{conformance.Pass, conformance.Failed, conformance.Error, conformance.NotSupported, conformance.Skipped, conformance.NotRun} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// JUnit writes the form that CI systems read (the XML of Apache Ant's junit task, as
// Jenkins and GitLab document it): failures and errors apart, all that was not judged as skipped.
func JUnit(w io.Writer, r *conformance.Report) error {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *message `xml:"failure,omitempty"`
		Error   *message `xml:"error,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
	}
	type testsuite struct {
		XMLName   xml.Name   `xml:"testsuite"`
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Failures  int        `xml:"failures,attr"`
		Errors    int        `xml:"errors,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Time      string     `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr"`
		Cases     []testcase `xml:"testcase"`
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
	suite := testsuite{
		Name: "conformance " + r.Image, Tests: len(r.Results),
		Failures: r.Count(conformance.Failed), Errors: r.Count(conformance.Error),
		Skipped: r.Count(conformance.Skipped) + r.Count(conformance.NotRun) + r.Count(conformance.NotSupported),
		Time:    seconds(r.Took), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, result := range r.Results {
		family, _, _ := strings.Cut(result.ID, "-")
		c := testcase{Name: result.ID, Class: "contract." + family, Time: seconds(result.Took)}
		m := &message{Message: result.Reason, Text: strings.Join(append([]string{result.Text, result.Remedy}, result.Evidence...), "\n")}
		switch {
		case result.Status == conformance.Failed && result.Level != spec.Must:
			m.Message = string(result.Level) + ": " + m.Message
			c.Skipped = m // what is not a MUST fails no build
			suite.Failures--
			suite.Skipped++
		case result.Status == conformance.Failed:
			c.Failure = m
		case result.Status == conformance.Error:
			c.Error = m
		case result.Status != conformance.Pass:
			m.Message = string(result.Status) + ": " + m.Message
			c.Skipped = m
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	return enc.Close()
}
