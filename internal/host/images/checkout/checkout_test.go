package checkout

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository is a small project of the same shape.
func repository(t *testing.T) Checkout {
	t.Helper()
	dir := t.TempDir()
	c := Checkout{dir}
	for name, text := range map[string]string{
		"Dockerfile.core":          "FROM scratch AS base\n",
		"images/base/image.yaml":   "name: base\n",
		"images/a b/Dockerfile":    "FROM x\n",
		"images/base/packages.apt": "git\n",
		"go.mod":                   "module example.com/x\n\ngo 1.26.0\n\nrequire example.com/y v0.0.0\n\nreplace example.com/y => ./y\n",
		"y/go.mod":                 "module example.com/y\n\ngo 1.24.0\n",
		"y/y.go":                   "package y\n",
		"cmd/sandbox-init/main.go": "package main\n\nimport (\n\t_ \"example.com/x/used\"\n\t_ \"example.com/y\"\n)\n\nfunc main() {}\n",
		"used/used.go":             "package used\n\nimport _ \"embed\"\n\n//go:embed data/*.txt\nvar _ string\n",
		"used/data/a.txt":          "a",
		"used/used_arm64.go":       "package used\n",
		"used/used_test.go":        "package used\n",
		"used/gone.go":             "package used\n",
		"unused/unused.go":         "package unused\n",
		"Makefile":                 "VERSION ?= 1\nGO_BUILD := go \\\n\tbuild\n\nother:\n\ttrue\n\nbin/linux-amd64:\n\t$(GO_BUILD)\n",
		".gitignore":               "/bin/\n",
	} {
		c.write(t, name, text)
	}
	c.must(t, "init", "-q")
	c.commit(t)
	return c
}

func (c Checkout) write(t *testing.T, name, text string) {
	t.Helper()
	p := filepath.Join(c.Dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c Checkout) must(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = c.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func (c Checkout) commit(t *testing.T) {
	t.Helper()
	c.must(t, "add", "-A")
	c.must(t, "commit", "-q", "--no-verify", "-m", "x")
}

func TestFind(t *testing.T) {
	c := repository(t)
	t.Chdir(filepath.Join(c.Dir, "images", "a b"))
	if found, err := Find(""); err != nil || found != c {
		t.Errorf("from a folder below: %v, %v", found, err)
	}
	if found, err := Find(c.Dir); err != nil || found != c {
		t.Errorf("by its name: %v, %v", found, err)
	}
	if _, err := Find(t.TempDir()); err == nil {
		t.Error("an empty folder is a checkout")
	}
	t.Chdir("/")
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "--root") {
		t.Errorf("outside of one: %v", err)
	}
}

func TestARevisionThatIsMissingIsAnError(t *testing.T) {
	c := repository(t)
	for _, rev := range []string{"nowhere", "", "-h", "HEAD~7", "HEAD:go.mod", strings.Repeat("0", 40)} {
		if commit, err := c.Resolve(t.Context(), rev); !errors.Is(err, errNoRevision) {
			t.Errorf("%q is %q, %v", rev, commit, err)
		}
	}
	if commit, err := c.Resolve(t.Context(), "HEAD"); err != nil || len(commit) != 40 {
		t.Errorf("HEAD is %q, %v", commit, err)
	}
	none := Checkout{t.TempDir()}
	if _, err := none.Resolve(t.Context(), "HEAD"); err == nil || errors.Is(err, errNoRevision) {
		t.Errorf("without a repository: %v", err)
	}
}

func TestRevision(t *testing.T) {
	c := repository(t)
	commit, err := c.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Revision(t.Context()); err != nil || r != commit {
		t.Errorf("revision %q, %v, want %q", r, err, commit)
	}
	c.write(t, "images/base/packages.apt", "other\n")
	if r, err := c.Revision(t.Context()); err != nil || r != commit+"-dirty" {
		t.Errorf("with a change: revision %q, %v", r, err)
	}
	none := Checkout{t.TempDir()}
	if r, err := none.Revision(t.Context()); err != nil || r != "" {
		t.Errorf("without a repository: revision %q, %v", r, err)
	}
}

func TestChangedAndTheCommitBefore(t *testing.T) {
	c := repository(t)
	c.write(t, "images/base/packages.apt", "git\njq\n")      // edited
	c.write(t, "images/base/new\nline ü", "x")               // added, with a name that git would quote
	c.write(t, "bin/sandbox-init", "x")                      // ignored
	c.write(t, "images/a b/Dockerfile", "FROM y\n")          // staged
	c.must(t, "add", "images/a b/Dockerfile")                //
	os.Remove(filepath.Join(c.Dir, "unused/unused.go"))      // removed
	c.must(t, "mv", "used/data/a.txt", "used/data/b.txt")    // renamed: both names count
	os.Chmod(filepath.Join(c.Dir, "Dockerfile.core"), 0o755) // a mode

	changed, err := c.Changed(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(changed)
	want := []string{"Dockerfile.core", "images/a b/Dockerfile", "images/base/new\nline ü", "images/base/packages.apt", "unused/unused.go", "used/data/a.txt", "used/data/b.txt"}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}

	before, err := c.At(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := fs.ReadFile(before, "images/a b/Dockerfile"); err != nil || string(text) != "FROM x\n" {
		t.Errorf("the Dockerfile was %q, %v", text, err)
	}
	if _, err := fs.Stat(before, "images/none/Dockerfile"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not there: %v", err)
	}
}

func TestWhatTheProgramIsCompiledFrom(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(Checkout)
		want []string
	}{
		{"a source", func(c Checkout) { c.write(t, "used/used.go", "package used\n") }, []string{"used/used.go"}},
		{"a source of another architecture", func(c Checkout) { c.write(t, "used/used_arm64.go", "package used // x\n") }, []string{"used/used_arm64.go"}},
		{"a new source", func(c Checkout) { c.write(t, "used/more.go", "package used\n") }, []string{"used/more.go"}},
		{"a source that is gone", func(c Checkout) { os.Remove(filepath.Join(c.Dir, "used/gone.go")) }, []string{"used/gone.go"}},
		{"what is embedded", func(c Checkout) { c.write(t, "used/data/a.txt", "b") }, []string{"used/data/a.txt"}},
		{"a test", func(c Checkout) { c.write(t, "used/used_test.go", "package used // x\n") }, nil},
		{"a source of another module of the checkout", func(c Checkout) { c.write(t, "y/y.go", "package y // x\n") }, []string{"y/y.go"}},
		{"another package", func(c Checkout) { c.write(t, "unused/unused.go", "package unused // x\n") }, nil},
		{"a module that it uses", func(c Checkout) {
			c.write(t, "y2/go.mod", "module example.com/y\n")
			c.write(t, "y2/y.go", "package y\n")
			c.write(t, "go.mod", "module example.com/x\n\ngo 1.26.0\n\nrequire example.com/y v0.0.0\n\nreplace example.com/y => ./y2\n")
		}, []string{"go.mod", "y2/y.go"}},
		{"the version of Go", func(c Checkout) {
			c.write(t, "go.mod", "module example.com/x\n\ngo 1.25.0\n\nrequire example.com/y v0.0.0\n\nreplace example.com/y => ./y\n")
		}, []string{"go.mod"}},
		{"a module that it does not use", func(c Checkout) {
			c.write(t, "go.mod", "module example.com/x\n\ngo 1.26.0\n\nrequire example.com/y v0.0.0\n\nrequire example.com/z v1.0.0 // indirect\n\nreplace example.com/y => ./y\n\nreplace example.com/z => ./z\n")
			c.write(t, "z/go.mod", "module example.com/z\n")
		}, nil},
		{"how it is compiled", func(c Checkout) {
			c.write(t, "Makefile", "VERSION ?= 1\nGO_BUILD := go \\\n\tbuild -x\n\nother:\n\ttrue\n\nbin/linux-amd64:\n\t$(GO_BUILD)\n")
		}, []string{"Makefile"}},
		{"another rule of the Makefile", func(c Checkout) {
			c.write(t, "Makefile", "VERSION ?= 1\nGO_BUILD := go \\\n\tbuild\n\nother:\n\tfalse\n\nbin/linux-amd64:\n\t$(GO_BUILD)\n")
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := repository(t)
			before, err := c.At(t.Context(), "HEAD")
			if err != nil {
				t.Fatal(err)
			}
			tc.do(c)
			changed, err := c.Changed(t.Context(), "HEAD")
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Program(t.Context(), before, changed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("of %q (-want +got):\n%s", changed, diff)
			}
		})
	}
}
