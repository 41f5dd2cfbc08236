package ignore

import (
	"fmt"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		what     string
		patterns []string
		file     string
		out      []string // left out; a trailing slash makes a directory
		in       []string
	}{
		{what: "the defaults", patterns: []string{".cache/", "__pycache__/", "*.pyc", ".DS_Store"},
			out: []string{".cache/", ".cache/a/b", "src/__pycache__/x.pyc", "m.pyc", "a/b/.DS_Store", "a/.cache/x"},
			in:  []string{".cache", "__pycache__", "m.py", ".cached/x", ".git/objects/aa", "node_modules/x/index.js"}},
		{what: "the file takes a pattern back", patterns: []string{"*.pyc"}, file: "!keep.pyc\n",
			out: []string{"a.pyc"}, in: []string{"keep.pyc", "d/keep.pyc"}},
		{what: "not below a directory that is left out", patterns: []string{".cache/"}, file: "!.cache/keep\n",
			out: []string{".cache/", ".cache/keep"}},
		{what: "a path from the top", file: "/build\ndoc/*.txt\n",
			out: []string{"build", "build/x", "doc/a.txt"}, in: []string{"src/build", "doc/x/a.txt", "a/doc/a.txt"}},
		{what: "any depth", file: "**/tmp/\nlogs/**\na/**/z\n",
			out: []string{"tmp/", "a/b/tmp/", "logs/x", "logs/x/y", "a/z", "a/b/c/z"}, in: []string{"logs/", "tmp", "az"}},
		{what: "comments, blanks and escapes", file: "#no\n\n\\#yes\n\\!bang\ntrailing  \nkept\\ \ncr\r\n",
			out: []string{"#yes", "!bang", "trailing", "kept ", "cr"}, in: []string{"#no", "kept", "trailing  ", "cr\r"}},
		{what: "the file of rules itself is kept", patterns: []string{"*"}, file: ".sandboxignore\n",
			in: []string{FileName}, out: []string{"x", "d/" + FileName}},
		{what: "byte order mark", file: "\ufeffx\n", out: []string{"x"}},
		{what: "hydrate's temporary names", out: []string{".sandbox-hydrate-0123456789abcdef.tmp", "a/.sandbox-hydrate-0123456789abcdef.tmp"},
			in: []string{".sandbox-hydrate-0123456789abcdeX.tmp"}},
		{what: "no escape from the temporary names", file: "!.sandbox-*\n", out: []string{".sandbox-hydrate-0123456789abcdef.tmp"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			r, err := New(c.patterns, []byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			for want, paths := range map[bool][]string{true: c.out, false: c.in} {
				for _, p := range paths {
					name, isDir := strings.CutSuffix(p, "/")
					if got := r.Match(name, isDir); got != want {
						t.Errorf("Match(%q, %v) = %v", name, isDir, got)
					}
				}
			}
		})
	}
}

func TestNilRules(t *testing.T) {
	var r *Rules
	if r.Match("a/b", false) {
		t.Error("no rules leave a file out")
	}
	if !r.Match(".sandbox-hydrate-0123456789abcdef.tmp", false) {
		t.Error("a temporary name is kept")
	}
}

func TestMistakes(t *testing.T) {
	for _, p := range []string{"[a", "x\\", "[[:alphabet:]]", "[[:alpha:", "[z-\\", "a\nb", "nul\x00"} {
		if _, err := New([]string{p}, nil); err == nil {
			t.Errorf("New(%q): no error", p)
		}
	}
	r, err := New(nil, []byte("good\n[bad\nalso\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Problems()); !strings.Contains(got, "line 2") {
		t.Errorf("Problems() = %s, want the second line named", got)
	}
	if !r.Match("good", false) || !r.Match("also", false) {
		t.Error("one bad line took its neighbours with it")
	}
}

func TestLargeFileIsCut(t *testing.T) {
	r, err := New(nil, []byte("x\n"+strings.Repeat("# filler\n", MaxFile/8)))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Match("x", false) || len(r.Problems()) != 1 {
		t.Errorf("Problems() = %q", r.Problems())
	}
	if r, err = New(nil, []byte(strings.Repeat("x*y\n", maxRules+10))); err != nil {
		t.Fatal(err)
	}
	if len(r.rules) != maxRules || len(r.Problems()) != 1 {
		t.Errorf("%d rules, problems %q", len(r.rules), r.Problems())
	}
}

// A rule that makes a backtracking matcher take longer than the universe.
func TestHostileRule(t *testing.T) {
	r, err := New(nil, []byte(strings.Repeat("*a", 60)+"b\n"+strings.Repeat("**/", 60)+"b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Match(strings.Repeat("a", 200), false) || r.Match(strings.Repeat("a/", 100)+"c", false) {
		t.Error("matched")
	}
}

func BenchmarkMatchEntry(b *testing.B) {
	r, err := New([]string{".cache/", "__pycache__/", "*.pyc", ".DS_Store"}, []byte("/build\nlogs/**/*.log\nnode_*/\n"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.MatchEntry("projects/web/src/components/button.tsx", false)
	}
}
