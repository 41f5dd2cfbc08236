package hot

import (
	"slices"
	"testing"
)

func TestGitOrder(t *testing.T) {
	const o, r = gitObjects, gitRefs
	for path, want := range map[string]struct {
		group  string
		before []string
	}{
		"a.txt":                     {"", nil},
		".git":                      {"", nil},
		"p/.git":                    {"", nil}, // a submodule's file
		"objects/1":                 {"", nil},
		".git/HEAD":                 {"", []string{".git" + o, ".git" + r}},
		".git/index":                {"", []string{".git" + o}},
		".git/objects":              {"", []string{".git" + o}},
		".git/objects/ab/cd":        {".git" + o, nil},
		"p/.git/refs/heads/main":    {"p/.git" + r, []string{"p/.git" + o}},
		"p/.git/packed-refs":        {"p/.git" + r, []string{"p/.git" + o}},
		"p/.git/logs/HEAD":          {"", []string{"p/.git" + o}},
		"p/.git/objects/pack/x.idx": {"p/.git" + o, nil},
		"bare.git/objects/info/x":   {"bare.git" + o, nil},

		".git/objects/info/commit-graph":          {"", []string{".git" + o}},
		".git/objects/info/commit-graphs/x.graph": {"", []string{".git" + o}},
		".git/objects/pack/multi-pack-index":      {"", []string{".git" + o}},

		".git/modules/m/objects/1": {".git" + o, nil},
		".git/modules/m/refs/x":    {".git" + r, []string{".git" + o}},
		".git/worktrees/w/HEAD":    {"", []string{".git" + o, ".git" + r}},
		"p/objects/x.git/HEAD":     {"", []string{"p/objects/x.git" + o, "p/objects/x.git" + r}},
	} {
		if got := gitGroup(path); got != want.group {
			t.Errorf("%s belongs to %q, want %q", path, got, want.group)
		}
		if got := gitBefore(path); !slices.Equal(got, want.before) {
			t.Errorf("%s waits for %q, want %q", path, got, want.before)
		}
	}
}
