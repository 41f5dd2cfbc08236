package ignore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gitTree is a repository with a tree of short names, whose .gitignore is tried.
type gitTree struct {
	dir   string
	paths map[string]bool // true: a directory
}

func newGitTree(t testing.TB, names []string) *gitTree {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatalf("the rules are compared with git's: apt-get install git (%v)", err)
	}
	g := &gitTree{dir: t.TempDir(), paths: map[string]bool{}}
	g.git(t, nil, "init", "-q", ".")
	for i, d := range append([]string{""}, names...) {
		for j, sub := range append([]string{""}, names...) {
			dir := filepath.Join(d, sub)
			if dir != "" && (i+j)%2 == 0 || d == "" && sub != "" && j%2 == 0 {
				continue // leave some names to be files
			}
			if g.paths[d] == false && d != "" && sub != "" {
				continue
			}
			if dir != "" {
				if err := os.MkdirAll(filepath.Join(g.dir, dir), 0o755); err != nil {
					continue // an ancestor is a file
				}
				g.paths[dir] = true
			}
			for _, f := range names {
				p := filepath.Join(dir, f)
				if _, taken := g.paths[p]; taken {
					continue
				}
				if file, err := os.OpenFile(filepath.Join(g.dir, p), os.O_CREATE|os.O_EXCL, 0o644); err == nil {
					file.Close()
					g.paths[p] = false
				}
			}
		}
	}
	return g
}

func (g *gitTree) git(t testing.TB, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = g.dir
	cmd.Env = []string{"HOME=" + g.dir, "GIT_CONFIG_NOSYSTEM=1", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && args[0] == "check-ignore" {
		return nil // nothing is ignored
	}
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return out
}

// ignored asks git which of the tree's paths are left out.
func (g *gitTree) ignored(t testing.TB, rules string) map[string]bool {
	if err := os.WriteFile(filepath.Join(g.dir, ".gitignore"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for p := range g.paths {
		in.WriteString("./" + p + "\x00") // a bare ":" is pathspec magic
	}
	out := map[string]bool{}
	for p := range strings.SplitSeq(string(g.git(t, in.Bytes(), "check-ignore", "--no-index", "-z", "--stdin")), "\x00") {
		if p, ok := strings.CutPrefix(p, "./"); ok {
			out[p] = true
		}
	}
	return out
}

func (g *gitTree) compare(t testing.TB, rules string) (leftOut int) {
	t.Helper()
	want := g.ignored(t, rules)
	r, err := New(nil, []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Sorted(maps.Keys(g.paths)) {
		if got := r.Match(p, g.paths[p]); got != want[p] {
			t.Errorf("rules %q: Match(%q, dir %v) = %v, git says %v", rules, p, g.paths[p], got, want[p])
		}
	}
	return len(want)
}

var treeNames = []string{"a", "b", "ab", "ba", "a b", "aab", "a.b", ".a", "-", "!a", "#a", "a ", "[a]", "a*", "a\\", "A", "1", "é"}

func TestAgainstGit(t *testing.T) {
	g := newGitTree(t, treeNames)
	for _, rules := range []string{
		"a\n", "/a\n", "a/\n", "/a/\n", "a/b\n", "/a/b/\n", "a/*\n", "*/a\n", "*/\n", "*\n!a\n", "*\n!*/\n", "a\n!a/b\n",
		"**\n", "**/\n", "/**\n", "**/a\n", "a/**\n", "a/**/b\n", "**/a/**\n", "a**b\n", "**a\n", "a/**b\n", "***/a\n", "a/***\n",
		"a\\\n", "\\a\n", "\\!a\n", "\\#a\n", "a\\ \n", "a  \n", "a\\\\\n", "\\[a]\n", "a\\*\n", "a/\\*\n", "**\\/a\n", "a\\/b\n",
		"[a\n", "[]a]\n", "[!a]\n", "[^a]*\n", "[a-b]\n", "[b-a]\n", "[a-]\n", "[-a]\n", "[\\a-\\b]\n", "[[:alpha:]]\n", "[[:alpha:]\n", "[[:x:]]\n",
		"[[:alpha]]\n", "[[:upper:]]\n", "[^[:alnum:]]*\n", "a[/]b\n", "a[!x]b\n", "[[.a.]]\n", "[[:]]\n", "[[:a]\n", "[a-[:alpha:]]\n", "[--1]\n", "[]-a]\n",
		"?\n", "??\n", "a?b\n", "/?/?\n", "*.b\n", "*b\n", ".*\n", "!\n", "/\n", "//\n", "//a\n", "a//\n", "a//b\n", "# a\n", " a\n", "\ta\n", "a\t\n", "\xef\xbb\xbfa\n",
		"a\r\nb\r\n", "a\r", "a", "\n\na", "é\n", "[é]\n", "?\xa9\n", "a\x00b\n", "*\n!/a\n!/a/b\n", "a/b\n!a/b\nb\n", "*a*\n!ab\n*b/\n",
	} {
		g.compare(t, rules)
	}
}

// Rules that no person would write, as many as a second or two allow.
func TestAgainstGitAtRandom(t *testing.T) {
	g := newGitTree(t, treeNames)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	some := 0
	for range 250 {
		rules := randomRules(rnd)
		if n := g.compare(t, rules); n > 0 && n < len(g.paths) {
			some++
		}
		if t.Failed() {
			return
		}
	}
	if some < 50 {
		t.Errorf("only %d of the random rules told paths apart: they test nothing", some)
	}
}

var fragments = []string{
	"a", "b", "A", "1", "é", " ", "-", ".", "#", "*", "*", "**", "***", "?", "/", "/", "/", "**/", "/**", "/**/", "\\", "\\\\", "\\/", "\\*",
	"[ab]", "[!a]", "[^ab]", "[a-b]", "[", "]", "[]", "[!]", "[]a]", "[a-", "[[:alpha:]]", "[![:alnum:]]", "[[:punct:]a]", "[[:", "[\\]]", "[*]", "[/]",
}

func randomRules(rnd *rand.Rand) string {
	var b strings.Builder
	for range 1 + rnd.IntN(5) {
		if rnd.IntN(4) == 0 {
			b.WriteByte('!')
		}
		for range 1 + rnd.IntN(5) {
			b.WriteString(fragments[rnd.IntN(len(fragments))])
		}
		b.WriteString([]string{"\n", "\n", "\r\n", " \n", "\\ \n"}[rnd.IntN(5)])
	}
	if rules := b.String(); !unclearInGit(rules) {
		return rules
	}
	return randomRules(rnd)
}

// unclearInGit finds "a**/" and the like. gitignore(5) calls these stars regular ones;
// git before 2.41 compares two unrelated pointers there (wildmatch.c, prev_p), and the
// answer depends on where they happen to lie.
func unclearInGit(rules string) bool {
	for i := 0; i < len(rules); i++ {
		end := i
		for end < len(rules) && rules[end] == '*' {
			end++
		}
		if end-i >= 2 && i > 0 && !strings.ContainsRune("/!\n", rune(rules[i-1])) && end < len(rules) && strings.ContainsRune("/\\\r\n ", rune(rules[end])) {
			return true
		}
		i = max(i, end-1)
	}
	return false
}

// Every byte against every class: git has its own idea of some.
func TestClassesAgainstGit(t *testing.T) {
	var names []string
	for c := 1; c < 256; c++ {
		if c != '/' && c != '.' {
			names = append(names, string([]byte{byte(c)}))
		}
	}
	g := newGitTree(t, nil)
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(g.dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		g.paths[n] = false
	}
	for _, class := range strings.Fields("alnum alpha blank cntrl digit graph lower print punct space upper xdigit") {
		if g.compare(t, fmt.Sprintf("[[:%s:]]\n", class)) == 0 {
			t.Errorf("[:%s:] matched nothing", class)
		}
	}
	g.compare(t, "[!-~]\n")
	g.compare(t, "[\x80-\xff]\n")
}

// What the fuzzer finds is that New and Match end, for anything.
func FuzzRules(f *testing.F) {
	for _, frag := range fragments {
		f.Add("!"+frag+"/"+frag+"\n"+frag, "a/b")
	}
	f.Fuzz(func(t *testing.T, rules, path string) {
		r, err := New(nil, []byte(rules))
		if err != nil {
			t.Fatal(err)
		}
		if dir := r.Match(path, true); !dir && r.Match(path, false) {
			t.Logf("%q leaves out the file %q and not the directory", rules, path) // "x\n!x/" does
		}
		for i := range len(path) {
			if path[i] == '/' && r.Match(path[:i], true) && !r.Match(path, false) {
				t.Errorf("rules %q: %q is left out and %q below it is not", rules, path[:i], path)
			}
		}
	})
}
