package internal_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inBackticks is a path of this repository as documents have it, with DIR, NAME and the like for any name and
// {a, b} for several.
var inBackticks = regexp.MustCompile("`((?:api|bench|catalog|cmd|conformance|contract|docs|examples|images|internal|scripts|sdk)/[^`]*)`")

// goName is the name of a file of Go, in the folder that was named before it.
var goName = regexp.MustCompile("`(\\w+\\.go)`")

// placeholder is a word that stands for any name.
var placeholder = regexp.MustCompile(`\b[A-Z]{2,}\b`)

// A document that sends its reader to a file sends to one that exists.
func TestPathsInDocumentsExist(t *testing.T) {
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range parseAll(t) {
		names[filepath.Base(f.name)] = true
	}
	seen := 0
	for _, document := range append(documents, "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range goName.FindAllStringSubmatch(string(text), -1) {
			if seen++; !names[m[1]] {
				t.Errorf("%s names `%s`, and there is no file of that name", strings.TrimPrefix(document, "../"), m[1])
			}
		}
		for _, m := range inBackticks.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], " ") && !strings.Contains(m[1], "{") || strings.HasPrefix(m[1], "images/sql/") {
				continue // a command; the image that first-change.md makes
			}
			for _, p := range braces(m[1]) {
				seen++
				pattern := placeholder.ReplaceAllString(p, "*")
				if strings.Contains(p, ".md") || strings.Contains(p, "Dockerfile") {
					pattern = p // these have upper-case names
				}
				if found, err := filepath.Glob("../" + strings.TrimSuffix(pattern, "/")); err != nil || len(found) == 0 {
					t.Errorf("%s names `%s`, and there is no %s (%v)", strings.TrimPrefix(document, "../"), m[1], p, err)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d paths were found: this test does not see what it judges", seen)
	}
}

// testName is the name of a test.
var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

// A document that names a test as its proof names one that exists.
func TestTestsInDocumentsExist(t *testing.T) {
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, f := range parseAll(t) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	seen := 0
	for _, document := range append(documents, "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllString(string(text), -1) {
			if seen++; !tests[name] {
				t.Errorf("%s names %s, and there is no test of that name", strings.TrimPrefix(document, "../"), name)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d names were found: this test does not see what it judges", seen)
	}
}

// braces are the paths that one with {a, b} stands for.
func braces(p string) []string {
	before, rest, ok := strings.Cut(p, "{")
	if !ok {
		return []string{p}
	}
	list, after, _ := strings.Cut(rest, "}")
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		out = append(out, before+strings.TrimSpace(name)+after)
	}
	return out
}
